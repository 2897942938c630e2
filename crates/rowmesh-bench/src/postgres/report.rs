//! Middle values and how they are printed.

/// The middle one of some figures; of an even number, the mean of the two in the middle.
pub fn middle(all: impl Iterator<Item = f64>) -> f64 {
    at(all, 0.5)
}

/// The figure below which this part of all lies.
pub fn at(all: impl Iterator<Item = f64>, part: f64) -> f64 {
    let mut all: Vec<f64> = all.collect();
    all.sort_by(f64::total_cmp);
    let Some(last) = all.len().checked_sub(1) else { return f64::NAN };
    let place = last as f64 * part;
    let (low, high) = (all[place.floor() as usize], all[place.ceil() as usize]);
    low + (high - low) * place.fract()
}
