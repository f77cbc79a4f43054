"""From experience to a loss: rollouts, returns, losses and schedules."""
