"""What runs the notebooks: the graph of jobs, its scheduler, its progress, and what is up to date."""
