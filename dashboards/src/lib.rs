//! flyball-dashboards
