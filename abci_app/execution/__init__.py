"""The execution of blocks: pure in the committed state and the block's transactions; nothing is written here."""
