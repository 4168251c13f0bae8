//! flyball-alerts
