"""The edit mode of the Task page: one module per section, all of them writing into one draft."""
