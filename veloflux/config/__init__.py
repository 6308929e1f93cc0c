"""What the operator wrote, made into the model."""
