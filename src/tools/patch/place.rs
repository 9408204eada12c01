//! Where in a file the hunks of a section belong.
//!
//! Every hunk gets all the places that fit it best; then `@@` lines, line numbers, the end of
//! the file and the order of the hunks may leave one. Where they leave several, nothing is chosen.

use super::{
    Hunk, Mark, Marked,
    context::{self, Scope},
    level::Level,
    text::Text,
};

/// More places than this for one hunk are not weighed: they are too many to choose from.
const PLACES_MAX: usize = 1_000;

/// A hunk with the place it was given.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// Its number among the section's hunks, from 0.
    pub(super) hunk: usize,
    pub(super) at: Place,
    pub(super) reading: Reading,
}

/// A run of the file's lines that fits a hunk, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The part of it that changes; for an insertion an empty range.
    pub(super) core: (usize, usize),
    pub(super) level: Level,
}

/// One way to read a hunk's lines.
pub(super) type Reading = Vec<(Mark, String)>;

/// Why a hunk has no place, with line numbers from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    NotFound,
    /// An `@@` line stands nowhere; the lines themselves would fit at `elsewhere`.
    NoContext {
        context: String,
        elsewhere: Vec<usize>,
    },
    /// An `@@` line stands at more lines than can tell anything.
    CommonContext {
        context: String,
    },
    /// The lines stand in the file, but not where the `@@` lines say.
    OutsideContext {
        context: String,
        found: Vec<usize>,
    },
    NotAtEnd {
        found: Vec<usize>,
    },
    Ambiguous {
        starts: Vec<usize>,
    },
    Overlap {
        other: usize,
    },
    /// Only new lines, and nothing that tells where they go.
    Nowhere,
}

/// Gives every hunk its place, in the order of the hunks.
pub(super) fn place(text: &Text<'_>, hunks: &[Hunk]) -> Result<Vec<Placed>, Vec<(usize, Misfit)>> {
    let mut found: Vec<(Reading, Vec<Place>)> = Vec::with_capacity(hunks.len());
    let mut misfits = Vec::new();
    for (i, hunk) in hunks.iter().enumerate() {
        match candidates(text, hunk) {
            Ok(fit) => found.push(fit),
            Err(misfit) => misfits.push((i, misfit)),
        }
    }
    if !misfits.is_empty() {
        return Err(misfits);
    }
    let places: Vec<Vec<Place>> = found.iter().map(|(_, places)| places.clone()).collect();
    let chosen = assign(&places)?;
    let placed = |(hunk, ((reading, _), at))| Placed { hunk, at, reading };
    Ok(found.into_iter().zip(chosen).enumerate().map(placed).collect())
}

/// All places that fit `lines` at the strictest level at which any does.
pub(super) fn occurrences(text: &Text<'_>, lines: &[&str]) -> Vec<(usize, Level)> {
    let at = |level| text.occurrences(lines, level, PLACES_MAX).into_iter().map(|start| (start, level)).collect();
    Level::ALL.into_iter().map(at).find(|starts: &Vec<_>| !starts.is_empty()).unwrap_or_default()
}

/// The places of one hunk that its own `@@` lines, numbers and end mark leave.
fn candidates(text: &Text<'_>, hunk: &Hunk) -> Result<(Reading, Vec<Place>), Misfit> {
    let mut best: Option<(Level, Reading, Vec<Place>)> = None;
    for reading in readings(hunk) {
        let old: Vec<&str> = old_lines(&reading).collect();
        if old.is_empty() {
            return Ok((reading, vec![insertion(text, hunk)?]));
        }
        let found = occurrences(text, &old);
        let Some(level) = found.first().map(|(_, level)| *level) else { continue };
        if found.len() >= PLACES_MAX {
            return Err(Misfit::Ambiguous { starts: found.into_iter().map(|(start, _)| start).collect() });
        }
        if best.as_ref().is_none_or(|(least, ..)| level < *least) {
            let places = found.iter().map(|(start, level)| Place::of(&reading, *start, *level)).collect();
            best = Some((level, reading, places));
        }
    }
    let Some((_, reading, places)) = best else { return Err(no_place(text, hunk)) };
    let places = at_end(text, hunk, places)?;
    Ok((reading, in_context(text, hunk, places)?))
}

impl Place {
    fn of(reading: &Reading, start: usize, level: Level) -> Self {
        let mut at = start;
        let mut core: Option<(usize, usize)> = None;
        for (mark, _) in reading {
            let next = if *mark == Mark::Add { at } else { at + 1 };
            if *mark != Mark::Keep {
                core = Some((core.map_or(at, |(first, _)| first), next));
            }
            at = next;
        }
        Self { start, end: at, core: core.unwrap_or((start, at)), level }
    }

    fn point(at: usize) -> Self {
        Self { start: at, end: at, core: (at, at), level: Level::Exact }
    }
}

fn old_lines(reading: &Reading) -> impl Iterator<Item = &str> {
    reading.iter().filter(|(mark, _)| *mark != Mark::Add).map(|(_, text)| text.as_str())
}

/// The ways to read a hunk, the plain one first: without blank lines of layout before it, with
/// blank lines among new ones as new, and, where marks are missing, with the space of the others
/// as part of the line.
fn readings(hunk: &Hunk) -> Vec<Reading> {
    let plain: Reading = hunk.lines.iter().map(|line| (line.mark, line.text.clone())).collect();
    let mut readings = vec![plain.clone()];
    let blank = hunk.lines.iter().take_while(|line| line.marked == Marked::Blank).count();
    if blank > 0 {
        readings.push(plain[blank..].to_vec());
    }
    let mut new = plain;
    for (i, line) in hunk.lines.iter().enumerate() {
        let after = hunk.lines[i..].iter().find(|next| next.marked != Marked::Blank);
        let between_new = i > 0 && new[i - 1].0 == Mark::Add && after.is_some_and(|next| next.mark == Mark::Add);
        if line.marked == Marked::Blank && between_new {
            new[i].0 = Mark::Add;
        }
    }
    readings.push(new[blank..].to_vec());
    if hunk.lines.iter().any(|line| line.marked == Marked::Bare) {
        let whole = |line: &super::HunkLine| match (line.mark, line.marked) {
            (Mark::Keep, Marked::Yes) => (Mark::Keep, format!(" {}", line.text)),
            _ => (line.mark, line.text.clone()),
        };
        readings.push(hunk.lines[blank..].iter().map(whole).collect());
    }
    readings.dedup();
    readings
}

/// Where new lines go that have no old ones around them.
fn insertion(text: &Text<'_>, hunk: &Hunk) -> Result<Place, Misfit> {
    let end = text.lines.len();
    if hunk.end_of_file || end == 0 {
        return Ok(Place::point(end));
    }
    match hunk.old {
        Some((after, 0)) if after <= end => return Ok(Place::point(after)),
        Some(_) => return Err(Misfit::Nowhere),
        None => {}
    }
    if hunk.contexts.is_empty() {
        return Ok(Place::point(end));
    }
    let scopes = context::scopes(text, &hunk.contexts).map_err(|fault| fault.misfit(Vec::new()))?;
    match scopes.as_slice() {
        [scope] => Ok(Place::point(scope.line + 1)),
        scopes => Err(Misfit::Ambiguous { starts: scopes.iter().map(|scope| scope.line).collect() }),
    }
}

fn no_place(text: &Text<'_>, hunk: &Hunk) -> Misfit {
    match context::scopes(text, &hunk.contexts) {
        Err(fault) if !hunk.contexts_are_hints => fault.misfit(Vec::new()),
        _ => Misfit::NotFound,
    }
}

fn at_end(text: &Text<'_>, hunk: &Hunk, places: Vec<Place>) -> Result<Vec<Place>, Misfit> {
    if !hunk.end_of_file {
        return Ok(places);
    }
    let blank_after = |place: &&Place| text.lines[place.end..].iter().all(|line| line.text.trim().is_empty());
    match places.iter().rfind(blank_after) {
        Some(last) => Ok(vec![*last]),
        None => Err(Misfit::NotAtEnd { found: starts(&places) }),
    }
}

fn in_context(text: &Text<'_>, hunk: &Hunk, places: Vec<Place>) -> Result<Vec<Place>, Misfit> {
    if hunk.contexts_are_hints {
        return Ok(by_hints(text, hunk, places));
    }
    let Some(last) = hunk.contexts.last() else { return Ok(places) };
    let scopes = context::scopes(text, &hunk.contexts).map_err(|fault| fault.misfit(starts(&places)))?;
    let inside: Vec<Place> = places.iter().filter(|place| within(&scopes, place)).copied().collect();
    if inside.is_empty() {
        return Err(Misfit::OutsideContext { context: last.clone(), found: starts(&places) });
    }
    Ok(inside)
}

fn within(scopes: &[Scope], place: &Place) -> bool {
    scopes.iter().any(|scope| place.start < scope.end && scope.line < place.end)
}

/// A diff's line numbers and headings choose only where several places fit and neither speaks
/// against the other.
fn by_hints(text: &Text<'_>, hunk: &Hunk, places: Vec<Place>) -> Vec<Place> {
    if places.len() < 2 {
        return places;
    }
    let scopes = context::scopes(text, &hunk.contexts).unwrap_or_default();
    let headed: Vec<Place> = places.iter().filter(|place| within(&scopes, place)).copied().collect();
    let numbered = places.iter().find(|place| hunk.old.is_some_and(|(start, _)| place.start + 1 == start));
    match numbered {
        Some(place) if headed.is_empty() || headed.contains(place) => vec![*place],
        Some(_) => places,
        None if headed.is_empty() => places,
        None => headed,
    }
}

fn starts(places: &[Place]) -> Vec<usize> {
    places.iter().map(|place| place.start).collect()
}

/// Chooses one place for each hunk. Hunks come in the order of the file; where that leaves a
/// hunk more than one place, it is ambiguous. Neighbours may share lines that stay.
fn assign(places: &[Vec<Place>]) -> Result<Vec<Place>, Vec<(usize, Misfit)>> {
    for range in [|place: &Place| (place.start, place.end), |place: &Place| place.core] {
        if let Some(possible) = in_order(places, range) {
            return unique(&possible);
        }
    }
    let alone = unique(places)?;
    for (i, one) in alone.iter().enumerate() {
        if let Some(other) = alone[..i].iter().position(|other| other.core.0 < one.core.1 && one.core.0 < other.core.1)
        {
            return Err(vec![(i, Misfit::Overlap { other })]);
        }
    }
    Ok(alone)
}

/// For every hunk the places that are part of some choice in which the ranges follow each other;
/// none where there is no such choice.
fn in_order(places: &[Vec<Place>], range: fn(&Place) -> (usize, usize)) -> Option<Vec<Vec<Place>>> {
    let mut earliest = vec![0];
    for options in places {
        let from = *earliest.last()?;
        earliest.push(options.iter().map(range).filter(|(start, _)| *start >= from).map(|(_, end)| end).min()?);
    }
    let mut latest = vec![usize::MAX];
    for options in places.iter().rev() {
        let to = *latest.last()?;
        latest.push(options.iter().map(range).filter(|(_, end)| *end <= to).map(|(start, _)| start).max()?);
    }
    latest.reverse();
    let possible = |(i, options): (usize, &Vec<Place>)| {
        let fits = |place: &&Place| range(place).0 >= earliest[i] && range(place).1 <= latest[i + 1];
        options.iter().filter(fits).copied().collect()
    };
    Some(places.iter().enumerate().map(possible).collect())
}

fn unique(places: &[Vec<Place>]) -> Result<Vec<Place>, Vec<(usize, Misfit)>> {
    let mut chosen = Vec::with_capacity(places.len());
    let mut misfits = Vec::new();
    for (i, options) in places.iter().enumerate() {
        match options.as_slice() {
            [one] => chosen.push(*one),
            several => misfits.push((i, Misfit::Ambiguous { starts: starts(several) })),
        }
    }
    if misfits.is_empty() { Ok(chosen) } else { Err(misfits) }
}
