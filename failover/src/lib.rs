//! Failover for tower services.
