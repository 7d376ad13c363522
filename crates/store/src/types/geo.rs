//! Positions on the Earth as scores of a sorted set, and what lies near to one.
//!
//! Longitude and latitude are each cut to 26 bits, and the bits interleaved to a number of 52, which a score holds exactly.
//! The number's highest bits name a cell of a coarse grid, the next ones a cell within that, and so on, so that all positions
//! in a cell of any size are a range of scores. A search picks the size of cells by the size of the shape, reads the cell
//! that its centre is in and the eight around it, as far as the shape reaches into them, and tests every position there.
//!
//! Arithmetic is in the order of the real servers', down to where a factor is applied, so that the last printed digits are
//! theirs too; and results that are not sorted come in their order, cell by cell.

use crate::types::packed::Item;
use crate::types::sorted_set::{ScoreRange, SortedSetRef};

/// Longitudes are within this many degrees of 0.
pub const MAX_LON: f64 = 180.0;
/// Latitudes are: beyond, the Mercator projection would not be a square.
pub const MAX_LAT: f64 = 85.05112878;

/// Bits of a coordinate.
const BITS: u32 = 26;
/// Of a sphere about as large as the Earth, in metres.
const EARTH_RADIUS: f64 = 6_372_797.560856;
/// Half the width of the projected map, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;

const DEGREE: f64 = std::f64::consts::PI / 180.0;

/// A position in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// East of Greenwich.
    pub lon: f64,
    /// North of the equator.
    pub lat: f64,
}

// ---- Scores

/// Puts zeros between the bits of a number.
fn spread(n: u32) -> u64 {
    let mut n = u64::from(n);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        n = (n | n << shift) & mask;
    }
    n
}

/// Takes every other bit of a number.
fn gather(n: u64) -> u32 {
    let mut n = n & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        n = (n | n >> shift) & mask;
    }
    n as u32
}

/// A cell of a grid of 2^step by 2^step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    lon: u32,
    lat: u32,
    step: u32,
}

/// A rectangle in degrees.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    min: Point,
    max: Point,
}

impl Cell {
    fn of(p: Point, step: u32, max_lat: f64) -> Cell {
        let cells = (1u64 << step) as f64;
        let index = |at: f64, max: f64| ((at + max) / (max + max) * cells) as u32;
        Cell {
            lon: index(p.lon, MAX_LON),
            lat: index(p.lat, max_lat),
            step,
        }
    }

    fn bits(self) -> u64 {
        spread(self.lat) | spread(self.lon) << 1
    }

    fn bounds(self) -> Bounds {
        let cells = (1u64 << self.step) as f64;
        let edge = |index: u32, max: f64| -max + f64::from(index) / cells * (max + max);
        Bounds {
            min: Point {
                lon: edge(self.lon, MAX_LON),
                lat: edge(self.lat, MAX_LAT),
            },
            max: Point {
                lon: edge(self.lon.wrapping_add(1), MAX_LON),
                lat: edge(self.lat.wrapping_add(1), MAX_LAT),
            },
        }
    }

    /// The cell so many cells to the east and to the north, around the map if need be.
    fn moved(self, east: i32, north: i32) -> Cell {
        let mask = (1u32 << self.step) - 1;
        let step = |at: u32, by: i32| {
            if by == 0 {
                at
            } else {
                at.wrapping_add_signed(by) & mask
            }
        };
        Cell {
            lon: step(self.lon, east),
            lat: step(self.lat, north),
            step: self.step,
        }
    }

    /// The scores of the positions in it.
    fn scores(self) -> ScoreRange {
        let shift = 2 * (BITS - self.step);
        let score = |bits: u64| (bits << shift) as f64;
        ScoreRange {
            max_open: true,
            ..ScoreRange::closed(score(self.bits()), score(self.bits() + 1))
        }
    }
}

/// The score of a position within [`MAX_LON`] and [`MAX_LAT`].
pub fn score(p: Point) -> f64 {
    Cell::of(p, BITS, MAX_LAT).bits() as f64
}

/// A score as a whole number: whatever the score is, as the real servers' machine conversion has it.
fn bits_of(score: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    let signed = |x: f64| {
        if (-HALF..HALF).contains(&x) {
            x as i64 as u64
        } else {
            1 << 63
        }
    };
    if score < HALF {
        signed(score)
    } else {
        signed(score - HALF) ^ 1 << 63
    }
}

/// A score as WITHHASH shows it.
pub fn shown_score(score: f64) -> i64 {
    if score < i64::MAX as f64 {
        score as i64
    } else {
        i64::MIN
    }
}

/// The position that a score stands for: the middle of its smallest cell.
pub fn position(score: f64) -> Point {
    let bits = bits_of(score);
    let Bounds { min, max } = Cell {
        lon: gather(bits >> 1),
        lat: gather(bits),
        step: BITS,
    }
    .bounds();
    Point {
        lon: ((min.lon + max.lon) / 2.0).clamp(-MAX_LON, MAX_LON),
        lat: ((min.lat + max.lat) / 2.0).clamp(-MAX_LAT, MAX_LAT),
    }
}

/// A position as a geohash of 11 characters, as other programs know it: over latitudes up to the poles. The 52 bits there
/// are make ten of them; the last one is always 0.
pub fn geohash(p: Point) -> [u8; 11] {
    let bits = Cell::of(p, BITS, 90.0).bits();
    let mut text = [b'0'; 11];
    for (i, c) in text[..10].iter_mut().enumerate() {
        *c = b"0123456789bcdefghjkmnpqrstuvwxyz"[(bits >> (47 - 5 * i)) as usize & 31];
    }
    text
}

// ---- Distances

fn lat_distance(a: f64, b: f64) -> f64 {
    EARTH_RADIUS * (b * DEGREE - a * DEGREE).abs()
}

/// The distance of two positions along the surface (by the haversine formula), in metres.
pub fn distance(a: Point, b: Point) -> f64 {
    let v = ((b.lon * DEGREE - a.lon * DEGREE) / 2.0).sin();
    if v == 0.0 {
        return lat_distance(a.lat, b.lat);
    }
    let (lat_a, lat_b) = (a.lat * DEGREE, b.lat * DEGREE);
    let u = ((lat_b - lat_a) / 2.0).sin();
    let h = u * u + lat_a.cos() * lat_b.cos() * v * v;
    // Rounding may take opposite positions beyond 1.
    2.0 * EARTH_RADIUS * h.sqrt().min(1.0).asin()
}

// ---- Searching

/// What is searched, its sizes in a unit that a [`Search`] knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Around the centre.
    Circle {
        /// In the unit.
        radius: f64,
    },
    /// Around the centre, its sides to the north, east, south and west.
    Box {
        /// In the unit, along its own latitude.
        width: f64,
        /// In the unit.
        height: f64,
    },
    /// Between straight lines on the map.
    Polygon(Vec<Point>),
}

/// A search.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// The position that distances are from. For a polygon it is found by [`Search::polygon`].
    pub center: Point,
    /// What is searched.
    pub shape: Shape,
    /// Metres in the unit.
    pub unit: f64,
}

/// A member that was found.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    /// Its name.
    pub member: Item<'a>,
    /// Its score.
    pub score: f64,
    /// Where it is.
    pub at: Point,
    /// Metres from the centre.
    pub distance: f64,
}

impl Search {
    /// A search of a polygon, whose centre is the middle of its corners in space.
    pub fn polygon(corners: Vec<Point>) -> Search {
        let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
        for p in &corners {
            let (lon, lat) = (p.lon * DEGREE, p.lat * DEGREE);
            x += EARTH_RADIUS * lat.cos() * lon.cos();
            y += EARTH_RADIUS * lat.cos() * lon.sin();
            z += EARTH_RADIUS * lat.sin();
        }
        let n = corners.len() as f64;
        let (x, y, z) = (x / n, y / n, z / n);
        let center = Point {
            lon: y.atan2(x) / DEGREE,
            lat: z.atan2((x * x + y * y).sqrt()) / DEGREE,
        };
        Search {
            center,
            shape: Shape::Polygon(corners),
            unit: 1.0,
        }
    }

    /// The rectangle around the shape.
    fn bounds(&self) -> Bounds {
        let (width, height) = match &self.shape {
            Shape::Circle { radius } => (self.unit * radius, self.unit * radius),
            Shape::Box { width, height } => (self.unit * width / 2.0, self.unit * height / 2.0),
            Shape::Polygon(corners) => {
                let none = Bounds {
                    min: Point {
                        lon: MAX_LON,
                        lat: MAX_LAT,
                    },
                    max: Point {
                        lon: -MAX_LON,
                        lat: -MAX_LAT,
                    },
                };
                return corners.iter().fold(none, |b, p| Bounds {
                    min: Point {
                        lon: b.min.lon.min(p.lon),
                        lat: b.min.lat.min(p.lat),
                    },
                    max: Point {
                        lon: b.max.lon.max(p.lon),
                        lat: b.max.lat.max(p.lat),
                    },
                });
            }
        };
        let Point { lon, lat } = self.center;
        let high = height / EARTH_RADIUS / DEGREE;
        // The side that is nearer to a pole spans more degrees.
        let nearer = if lat < 0.0 { lat - high } else { lat + high };
        let wide = width / EARTH_RADIUS / (nearer * DEGREE).cos() / DEGREE;
        Bounds {
            min: Point {
                lon: lon - wide,
                lat: lat - high,
            },
            max: Point {
                lon: lon + wide,
                lat: lat + high,
            },
        }
    }

    /// How far the shape reaches from its centre, in metres.
    fn reach(&self, bounds: Bounds) -> f64 {
        match &self.shape {
            Shape::Circle { radius } => radius * self.unit,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt() * self.unit
            }
            Shape::Polygon(_) => {
                let Bounds { min, max } = bounds;
                [
                    (min.lon, max.lat),
                    (max.lon, max.lat),
                    (min.lon, min.lat),
                    (max.lon, min.lat),
                ]
                .iter()
                .map(|(lon, lat)| {
                    distance(
                        self.center,
                        Point {
                            lon: *lon,
                            lat: *lat,
                        },
                    )
                })
                .fold(0.0, f64::max)
            }
        }
    }

    /// The cells to read, in this order.
    fn cells(&self) -> impl Iterator<Item = Cell> + use<> {
        let bounds = self.bounds();
        let step = step_for(self.reach(bounds), self.center.lat);
        let whole = matches!(self.shape, Shape::Polygon(_));
        let cell_of = |step| {
            let cell = Cell::of(self.center, step, MAX_LAT);
            // The middle of a polygon may be on the map's very edge, and its cell is to be on the map.
            let last = if whole { (1 << step) - 1 } else { u32::MAX };
            Cell {
                lon: cell.lon.min(last),
                lat: cell.lat.min(last),
                step,
            }
        };
        // Where the centre is near its cell's edge, the cells beyond may not reach far enough.
        let too_small = |center: Cell| {
            let edge = |east, north| center.moved(east, north).bounds();
            edge(0, 1).max.lat < bounds.max.lat
                || edge(0, -1).min.lat > bounds.min.lat
                || edge(1, 0).max.lon < bounds.max.lon
                || edge(-1, 0).min.lon > bounds.min.lon
        };
        let mut center = cell_of(step);
        if step > 1 && too_small(center) {
            center = cell_of(step - 1);
        }
        // The corners of a polygon may be near its middle around the back of the map, and yet it spans all of it. (Valkey
        // does not find what is in such polygons.)
        while whole && center.step > 1 && too_small(center) {
            center = cell_of(center.step - 1);
        }
        let inner = center.bounds();
        let needed = move |east: i32, north: i32| {
            center.step < 2
                || !(north < 0 && inner.min.lat < bounds.min.lat
                    || north > 0 && inner.max.lat > bounds.max.lat
                    || east < 0 && inner.min.lon < bounds.min.lon
                    || east > 0 && inner.max.lon > bounds.max.lon)
        };
        let around = [
            (0, 0),
            (0, 1),
            (0, -1),
            (1, 0),
            (-1, 0),
            (1, 1),
            (-1, 1),
            (1, -1),
            (-1, -1),
        ];
        let mut last = None;
        // On a coarse grid the cells to both sides are the same one.
        around
            .into_iter()
            .filter(move |(east, north)| needed(*east, *north))
            .filter_map(move |(east, north)| {
                let cell = center.moved(east, north);
                (last.replace(cell) != Some(cell)).then_some(cell)
            })
    }

    /// The distance from the centre in metres, if a position is inside the shape.
    fn distance_inside(&self, p: Point) -> Option<f64> {
        match &self.shape {
            Shape::Circle { radius } => {
                Some(distance(self.center, p)).filter(|d| *d <= radius * self.unit)
            }
            Shape::Box { width, height } => {
                let beside = Point {
                    lon: self.center.lon,
                    lat: p.lat,
                };
                let inside = lat_distance(p.lat, self.center.lat) <= height * self.unit / 2.0
                    && distance(p, beside) <= width * self.unit / 2.0;
                inside.then(|| distance(self.center, p))
            }
            Shape::Polygon(corners) => {
                // A line from the point to the east crosses the polygon's sides an odd number of times.
                let before = corners.iter().cycle().skip(corners.len() - 1);
                let crossings = corners.iter().zip(before).filter(|(a, b)| {
                    (a.lat > p.lat) != (b.lat > p.lat)
                        && p.lon < (b.lon - a.lon) * (p.lat - a.lat) / (b.lat - a.lat) + a.lon
                });
                (crossings.count() % 2 == 1).then(|| distance(self.center, p))
            }
        }
    }

    /// How many members have to be looked at to find those inside the shape.
    pub fn candidates(&self, set: SortedSetRef<'_>) -> usize {
        let in_cell = |cell: Cell| set.ranks_by_score(&cell.scores()).len();
        self.cells().map(in_cell).sum()
    }

    /// The members inside the shape, in the order in which they are met; no more than `limit`.
    pub fn find<'a>(&self, set: SortedSetRef<'a>, limit: usize) -> Vec<Hit<'a>> {
        let mut hits = Vec::new();
        for cell in self.cells() {
            for (member, score) in set.iter(set.ranks_by_score(&cell.scores())) {
                let at = position(score);
                if let Some(distance) = self.distance_inside(at) {
                    hits.push(Hit {
                        member,
                        score,
                        at,
                        distance,
                    });
                    if hits.len() >= limit {
                        return hits;
                    }
                }
            }
        }
        hits
    }
}

/// How fine a grid to read nine cells of, for a shape that reaches so many metres around a latitude.
fn step_for(mut reach: f64, lat: f64) -> u32 {
    if reach == 0.0 {
        return BITS;
    }
    let mut step = 1i32;
    while reach < MERCATOR_MAX {
        reach *= 2.0;
        step += 1;
    }
    step -= 2;
    // Cells are narrower towards the poles.
    if lat.abs() > 66.0 {
        step -= 1;
    }
    if lat.abs() > 80.0 {
        step -= 1;
    }
    step.clamp(1, BITS as i32) as u32
}

/// Puts hits into the order of their distances, and keeps the first `count`. Those of the same distance stay as they were.
pub fn sort(hits: &mut Vec<Hit<'_>>, descending: bool, count: usize) {
    let by_distance = |a: &Hit<'_>, b: &Hit<'_>| {
        let order = a.distance.total_cmp(&b.distance);
        if descending { order.reverse() } else { order }
    };
    if count == 0 || count >= hits.len() {
        hits.sort_by(by_distance);
        return;
    }
    let mut numbered: Vec<(usize, Hit<'_>)> = hits.drain(..).enumerate().collect();
    let order =
        |a: &(usize, Hit<'_>), b: &(usize, Hit<'_>)| by_distance(&a.1, &b.1).then(a.0.cmp(&b.0));
    numbered.select_nth_unstable_by(count, order);
    numbered.truncate(count);
    numbered.sort_unstable_by(order);
    hits.extend(numbered.into_iter().map(|(_, hit)| hit));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Collection;
    use crate::types::sorted_set::{Limits, SortedSet};

    fn random(state: &mut u64) -> f64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*state >> 11) as f64 / (1u64 << 53) as f64
    }

    fn point(state: &mut u64) -> Point {
        Point {
            lon: (random(state) * 2.0 - 1.0) * MAX_LON,
            lat: (random(state) * 2.0 - 1.0) * MAX_LAT,
        }
    }

    #[test]
    fn bits_are_interleaved() {
        assert_eq!(spread(0b1011), 0b1000101);
        for n in [0, 1, 77, 0x0123_4567, u32::MAX] {
            assert_eq!((gather(spread(n)), gather(spread(n) << 1)), (n, 0));
        }
    }

    #[test]
    fn a_position_survives_its_score() {
        let state = &mut 1;
        for _ in 0..1000 {
            let p = point(state);
            let back = position(score(p));
            assert!((p.lon - back.lon).abs() < 3e-6 && (p.lat - back.lat).abs() < 1.5e-6);
            assert_eq!(score(back), score(p));
        }
        for odd in [
            f64::INFINITY,
            f64::NEG_INFINITY,
            -1.0,
            1e300,
            -1e300,
            0.5,
            1e19,
        ] {
            let p = position(odd);
            assert!(p.lon.abs() <= MAX_LON && p.lat.abs() <= MAX_LAT);
        }
    }

    #[test]
    fn a_search_finds_what_going_through_all_finds() {
        let state = &mut 2;
        let limits = Limits {
            entries: 128,
            member: 64,
        };
        let mut set = SortedSet::new();
        for n in 0..3000 {
            set.insert(format!("m{n}").as_bytes(), score(point(state)), limits);
        }
        for round in 0..300 {
            let size = 10f64.powf(random(state) * 3.0 + 1.0);
            let center = Point {
                lat: 60.0 * (2.0 * random(state) - 1.0),
                lon: 120.0 * (2.0 * random(state) - 1.0),
            };
            let search = match round % 3 {
                0 => Search {
                    center,
                    shape: Shape::Circle { radius: size / 5.0 },
                    unit: 1000.0,
                },
                1 => Search {
                    center,
                    shape: Shape::Box {
                        width: size / 5.0,
                        height: size / 5.0 * random(state),
                    },
                    unit: 1000.0,
                },
                _ => Search::polygon(
                    (0..5)
                        .map(|_| Point {
                            lon: center.lon + 20.0 * random(state),
                            lat: center.lat + 20.0 * random(state),
                        })
                        .collect(),
                ),
            };
            let mut found: Vec<f64> = search
                .find(set.view(), usize::MAX)
                .iter()
                .map(|hit| hit.score)
                .collect();
            found.sort_by(f64::total_cmp);
            let all = set.view().entries().map(|(_, score)| score);
            let wanted: Vec<f64> = all
                .filter(|s| search.distance_inside(position(*s)).is_some())
                .collect();
            assert_eq!(found, wanted, "{search:?}");
        }
    }

    #[test]
    fn a_polygon_may_span_the_map() {
        let mut set = SortedSet::new();
        let limits = Limits {
            entries: 128,
            member: 64,
        };
        for lon in -17..18 {
            let p = Point {
                lon: f64::from(lon) * 10.0,
                lat: 40.0,
            };
            set.insert(lon.to_string().as_bytes(), score(p), limits);
        }
        for (west, east) in [(-180.0, 180.0), (-179.0, 179.0), (-171.0, 179.9)] {
            let corners = [(west, 10.0), (east, 10.0), (east, 60.0), (west, 60.0)];
            let search = Search::polygon(corners.map(|(lon, lat)| Point { lon, lat }).to_vec());
            assert_eq!(
                search.find(set.view(), usize::MAX).len(),
                35,
                "{west} to {east}"
            );
        }
    }

    #[test]
    fn the_nearest_are_those_that_sorting_all_gives() {
        let state = &mut 3;
        let hits: Vec<Hit<'_>> = (0..500)
            .map(|n| Hit {
                member: Item::Int(n),
                score: 0.0,
                at: Point { lon: 0.0, lat: 0.0 },
                distance: (random(state) * 50.0).floor(),
            })
            .collect();
        for descending in [false, true] {
            let mut all = hits.clone();
            sort(&mut all, descending, 0);
            assert!(all.is_sorted_by(|a, b| if descending {
                a.distance >= b.distance
            } else {
                a.distance <= b.distance
            }));
            for count in [1, 7, 499, 500, 1000] {
                let mut some = hits.clone();
                sort(&mut some, descending, count);
                assert_eq!(some.len(), count.min(500));
                assert!(some.iter().zip(&all).all(|(a, b)| a.member == b.member));
            }
        }
    }
}
