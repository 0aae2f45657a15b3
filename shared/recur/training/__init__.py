"""Configuration, the contract of an application, the trainer, and the directory of a run."""
