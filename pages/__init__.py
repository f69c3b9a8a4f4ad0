"""The dashboard's pages: one file per step of the user's job, and the shell that they share."""
