"""The project's recipes; what they share, and the checks of house rules."""
