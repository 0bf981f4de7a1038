"""The loop that closes: a champion gets worse, training is started by an event, the new version takes over."""
