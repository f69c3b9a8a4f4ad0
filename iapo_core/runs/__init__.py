"""What must outlive a browser tab: run configs, the task catalogue, the store and the worker."""
