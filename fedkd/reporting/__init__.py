"""What people see of a run: tidy frames, pictures, the live display and the closing table."""
