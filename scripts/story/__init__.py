"""The main job as a story: six organizations trade, bill, settle, score and are audited, on real ledgers."""
