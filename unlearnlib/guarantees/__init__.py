"""What can be promised about forgetting, under which assumptions, and audits that try to break the promise."""
