"""What is right by itself and wrong, or doubtful, together with the rest."""
