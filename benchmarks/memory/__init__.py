"""Which recurrent networks remember for long."""
