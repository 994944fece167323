"""What serves the page: the pipeline, its queue, and what stands before both."""
