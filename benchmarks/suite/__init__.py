"""The tests themselves: what they cost, and how many faults they notice."""
