//! flyball-reports
