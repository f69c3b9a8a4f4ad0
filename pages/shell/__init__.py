"""What pages share: the navigation guard, the current run, small widgets."""
