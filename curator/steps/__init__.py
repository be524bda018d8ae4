"""What is done to the pairs, one step a module; each can be run again without harm. `curator.pipeline` joins them."""
