//! Statistics: a histogram of latencies, percentiles, medians, ratios, and how well two samples can be told apart.

use std::time::Duration;

/// Buckets per doubling, so that a bucket is at most 1/64 as wide as its values.
const STEPS: u32 = 64;
const STEP_BITS: u32 = STEPS.ilog2();
/// One row of buckets below 64 ns, and one for each doubling up to 2^40 ns (18 minutes).
const BUCKETS: usize = (STEPS * (40 - STEP_BITS + 1)) as usize;

/// How often each latency occurred, to within 1.6 %, in fixed space.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0 }
    }
}

impl Histogram {
    /// Counts one latency.
    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
    }

    /// The number of latencies counted.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The latency that `share` (0 to 1) of all did not exceed. It is the upper end of its bucket, so never better than
    /// the truth. `None` if nothing was counted.
    pub(crate) fn percentile(&self, share: f64) -> Option<Duration> {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Duration::from_nanos(upper_end(found)))
    }
}

/// Below 64 each value has its own bucket. Above, the highest bit and the six after it choose one.
fn bucket(nanos: u64) -> usize {
    let doubling = nanos.max(1).ilog2().saturating_sub(STEP_BITS);
    // The shifted value has STEP_BITS + 1 bits, the first of which is set, so rows after the first start at STEPS.
    let row_start = u64::from(doubling * STEPS);
    usize::try_from(row_start + (nanos >> doubling)).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

fn upper_end(bucket: usize) -> u64 {
    let (bucket, steps) = (bucket as u64, u64::from(STEPS));
    let doubling = (bucket / steps).saturating_sub(1);
    let step = bucket - doubling * steps;
    ((step + 1) << doubling) - 1
}

/// The median: the middle value, or the mean of the two in the middle. `None` without values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// `part / whole`; `None` if `whole` was not measured.
pub(crate) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (part.is_finite() && whole.is_finite() && whole > 0.0).then(|| part / whole)
}

/// How well one value tells which of two samples it came from: the area under the ROC curve, which is the share of
/// all pairs in which the second sample's value is the greater one (equal values count half). Results below 0.5 are
/// mirrored, because a guess that is always wrong tells as much: 0.5 is a coin toss, 1.0 is certainty. `None` for an
/// empty sample.
pub(crate) fn auc(first: &[f64], second: &[f64]) -> Option<f64> {
    let mut sorted = first.to_vec();
    sorted.sort_by(f64::total_cmp);
    let beaten = |value: &f64| {
        let smaller = sorted.partition_point(|other| other < value);
        let up_to_equal = sorted.partition_point(|other| other <= value);
        (smaller + up_to_equal) as f64 / 2.0
    };
    let area = ratio(second.iter().map(beaten).sum(), (first.len() * second.len()) as f64)?;
    Some(area.max(1.0 - area))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_micros(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        values.into_iter().for_each(|value| histogram.record(Duration::from_micros(value)));
        histogram
    }

    fn percentile_micros(histogram: &Histogram, share: f64) -> f64 {
        histogram.percentile(share).unwrap().as_nanos() as f64 / 1e3
    }

    #[test]
    fn every_latency_lies_in_its_bucket_and_buckets_are_narrow() {
        let values = (0..300)
            .chain((8..38).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + (1 << (bit - 1)) + 1]));
        for nanos in values {
            let found = bucket(nanos);
            let (low, high) =
                (found.checked_sub(1).map_or(0, |before| upper_end(before) + 1), upper_end(found));
            assert!((low..=high).contains(&nanos), "{nanos} in {low}..={high}");
            assert!((high - low) * u64::from(STEPS) <= nanos.max(1), "{low}..={high} is too wide");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let histogram = of_micros((1..=1000).rev());
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let found = percentile_micros(&histogram, share);
            assert!((expected..expected * 1.016).contains(&found), "{share}: {found} instead of {expected}");
        }
        assert_eq!(histogram.count(), 1000);
    }

    #[test]
    fn one_slow_answer_in_a_hundred_is_beyond_p99_and_two_are_not() {
        let with_slow =
            |slow| of_micros(std::iter::repeat_n(100, 100 - slow).chain(std::iter::repeat_n(50_000, slow)));
        assert!(percentile_micros(&with_slow(1), 0.99) < 200.0);
        assert!(percentile_micros(&with_slow(2), 0.99) > 49_000.0);
    }

    #[test]
    fn latencies_beyond_the_histogram_count_in_its_last_bucket() {
        let histogram = of_micros([u64::MAX / 1000]);
        assert!(histogram.percentile(0.5).unwrap() > Duration::from_secs(1000));
        assert_eq!(Histogram::default().percentile(0.5), None);
    }

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median([9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median([4.0, 1.0, 3.0, 100.0]), Some(3.5));
        assert_eq!(median([7.0]), Some(7.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn there_is_no_ratio_to_zero_or_nan() {
        assert_eq!(ratio(30.0, 60.0), Some(0.5));
        assert_eq!(ratio(30.0, 0.0), None);
        assert_eq!(ratio(f64::NAN, 1.0), None);
    }

    #[test]
    fn the_auc_is_the_share_of_pairs_that_are_in_one_order() {
        let auc = |first: &[f64], second: &[f64]| auc(first, second).unwrap();
        // 2 beats one of three, 4 two, 6 three.
        assert_eq!(auc(&[5.0, 1.0, 3.0], &[2.0, 6.0, 4.0]), 6.0 / 9.0);
        // 2 beats 1 and ties with 2, 3 beats both.
        assert_eq!(auc(&[1.0, 2.0], &[2.0, 3.0]), 3.5 / 4.0);
        // Samples need not be equally large: 3 is in the middle, 9 beats all.
        assert_eq!(auc(&[1.0, 2.0, 4.0, 5.0], &[3.0, 9.0]), 6.0 / 8.0);
    }

    #[test]
    fn the_auc_of_equal_samples_is_a_coin_toss_and_of_separate_ones_certainty() {
        assert_eq!(auc(&[7.0; 5], &[7.0; 3]), Some(0.5));
        assert_eq!(auc(&[1.0, 2.0, 3.0], &[3.0, 1.0, 2.0]), Some(0.5));
        assert_eq!(auc(&[1.0, 2.0], &[3.0, 4.0]), Some(1.0));
        assert_eq!(auc(&[3.0, 4.0], &[1.0, 2.0]), Some(1.0), "whichever is the slower one");
        assert_eq!((auc(&[], &[1.0]), auc(&[1.0], &[])), (None, None));
    }
}
