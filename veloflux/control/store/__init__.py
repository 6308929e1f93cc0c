"""What the control plane keeps, behind one interface."""
