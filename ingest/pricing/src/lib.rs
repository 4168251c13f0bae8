//! flyball-pricing
