"""What can be done, said without HTTP."""
