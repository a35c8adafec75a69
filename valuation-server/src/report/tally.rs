//! Adds up calls, whether they come as rows or as sums of hours: both end in the same [`Report`].

use std::collections::BTreeMap;

use super::figures::{Figures, Sum};
use super::outages::{Minutes, minutes, outages};
use super::terms::{Calendar, Terms};
use super::{ProviderReport, Report, Unread, periods};
use crate::domain::{AccountedCall, CallOutcome, DurationBucket, HourCell};

/// What is known of the calls so far.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) calendar: Calendar,
    providers: Vec<Provider>,
    ids: Option<(i64, i64)>,
    undated: u64,
    unread: Option<Unread>,
    only: Option<String>,
}

#[derive(Debug)]
struct Provider {
    name: String,
    /// By the index of the period.
    sums: BTreeMap<usize, Sum>,
    /// By the hour's start, in seconds since 1970.
    hours: BTreeMap<i64, Minutes>,
}

impl Tally {
    pub(super) fn new(calendar: Calendar, terms: &Terms) -> Self {
        let only = terms.provider.clone();
        Self { calendar, providers: Vec::new(), ids: None, undated: 0, unread: None, only }
    }

    /// Adds a row, if it is counted.
    pub(super) fn add_row(&mut self, call: &AccountedCall<'_>) {
        let Some(at) = call.at else { return self.add_undated(call.provider, 1) };
        let Some(period) = self.calendar.period(at.div_euclid(60)) else { return };
        self.see_ids(call.provider, call.id, call.id);
        let provider = self.provider(call.provider);
        provider.sums.entry(period).or_default().add_row(call);
        let minute = 1 << (at.rem_euclid(3_600) / 60);
        provider.see_minutes(at - at.rem_euclid(3_600), call.outcome, minute);
    }

    /// Adds a cell of an hour of which all is counted, in this period.
    pub(super) fn add_cell(&mut self, period: usize, cell: &HourCell<'_>) {
        let Some(hour) = cell.hour else { return };
        self.see_ids(cell.provider, cell.first_id, cell.last_id);
        let provider = self.provider(cell.provider);
        provider.sums.entry(period).or_default().add_cell(cell);
        provider.see_minutes(hour, cell.outcome, cell.minutes);
    }

    /// Adds durations of calls whose cells are added.
    pub(super) fn add_bucket(
        &mut self,
        period: usize,
        provider: &str,
        bucket: DurationBucket,
        calls: u64,
    ) {
        self.provider(provider).sums.entry(period).or_default().add_bucket(bucket, calls);
    }

    /// Adds calls without a readable time.
    pub(super) fn add_undated(&mut self, provider: &str, calls: u64) {
        if self.only.as_ref().is_none_or(|only| only == provider) {
            self.undated += calls;
        }
    }

    /// Notes calls of which the rows are missing.
    pub(super) fn add_unread(&mut self, provider: &str, Unread { calls, ids }: Unread) {
        if self.only.as_ref().is_none_or(|only| only == provider) {
            let known = self.unread.unwrap_or(Unread { calls: 0, ids });
            let ids = (known.ids.0.min(ids.0), known.ids.1.max(ids.1));
            self.unread = Some(Unread { calls: known.calls + calls, ids });
        }
    }

    fn see_ids(&mut self, provider: &str, first: i64, last: i64) {
        if self.only.as_ref().is_none_or(|only| only == provider) {
            let (low, high) = self.ids.unwrap_or((first, last));
            self.ids = Some((low.min(first), high.max(last)));
        }
    }

    /// There are two or three: a search through all of them is the fastest.
    fn provider(&mut self, name: &str) -> &mut Provider {
        let index = self.providers.iter().position(|provider| provider.name == name);
        let index = index.unwrap_or_else(|| {
            let (sums, hours) = (BTreeMap::new(), BTreeMap::new());
            self.providers.push(Provider { name: name.to_owned(), sums, hours });
            self.providers.len() - 1
        });
        &mut self.providers[index]
    }

    /// The report of all that was added.
    pub(super) fn report(mut self, terms: &Terms) -> Report {
        self.providers.sort_by(|a, b| a.name.cmp(&b.name));
        let count = self.calendar.periods.len();
        let mut of_all = vec![0; count];
        for (period, sum) in self.providers.iter().flat_map(|provider| &provider.sums) {
            of_all[*period] += sum.calls;
        }
        let providers = self
            .providers
            .iter()
            .filter(|provider| self.only.as_ref().is_none_or(|only| *only == provider.name))
            .map(|provider| provider.report(terms, &self.calendar, &of_all))
            .collect();
        let (from, to) = (self.calendar.from(), self.calendar.to());
        Report {
            terms: terms.clone(),
            from,
            to,
            odd_days: periods::odd_days(from, to, &terms.zone),
            periods: self.calendar.periods,
            ids: self.ids,
            undated: self.undated,
            gaps: Vec::new(),
            unread: self.unread,
            later: None,
            providers,
        }
    }
}

impl Provider {
    fn see_minutes(&mut self, hour: i64, outcome: CallOutcome, minutes: u64) {
        if outcome == CallOutcome::Ignored {
            return;
        }
        let seen = self.hours.entry(hour).or_default();
        seen.counted |= minutes;
        if outcome == CallOutcome::Success {
            seen.succeeded |= minutes;
        }
    }

    fn report(&self, terms: &Terms, calendar: &Calendar, of_all: &[u64]) -> ProviderReport {
        let none = Sum::default();
        let mut total = Sum::default();
        let mut periods: Vec<Figures> = Vec::with_capacity(of_all.len());
        for (index, of_all) in of_all.iter().enumerate() {
            let sum = self.sums.get(&index).unwrap_or(&none);
            total.add(sum);
            periods.push(sum.figures(terms, *of_all));
        }
        let mut total = total.figures(terms, of_all.iter().sum());
        for (minute, available) in minutes(&self.hours) {
            if let Some(period) = calendar.around(minute) {
                periods[period].add_minute(available);
                total.add_minute(available);
            }
        }
        let excluded = |start, end| calendar.excluded_minutes(start, end);
        let outages = outages(minutes(&self.hours), excluded);
        for outage in &outages {
            if let Some(period) = calendar.around(outage.start) {
                periods[period].add_outage(outage);
                total.add_outage(outage);
            }
        }
        ProviderReport { name: self.name.clone(), total, periods, outages }
    }
}
