"""States of a run on the disk: checkpoints, snapshots, networks read back."""
