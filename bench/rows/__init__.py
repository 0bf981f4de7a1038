"""The rows of the bench: each measures one thing on a stand, and says what it found against the targets."""
