"""What the commands do, as text on the terminal."""
