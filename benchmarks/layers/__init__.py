"""Speed and memory of the recurrent layers beside their peers."""
