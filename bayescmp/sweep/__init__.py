"""Many configurations of one study, each from several seeds, as cells that can be resumed."""
