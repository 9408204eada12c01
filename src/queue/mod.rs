//! Claim, lease, heartbeat, fencing, fairness. Knows nothing of agents.
