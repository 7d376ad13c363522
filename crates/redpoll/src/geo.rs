//! Typed calls on sorted sets whose members are places on Earth.
//!
//! Such a sorted set is one like any other: its scores are positions, interleaved to 52 bits, which is exact to less than
//! a metre. So members are removed with [`Db::zrem`] and counted with [`Db::zcard`]. A key that does not exist is empty,
//! and a key that holds something else is an error with the code `WRONGTYPE`.

use crate::bytes::Bytes;
use crate::call::{Call, Decode, fixed};
use crate::db::Db;
use crate::error::Result;
use crate::sorted_sets::ZAdd;
use crate::value::Value;
use crate::way::Way;

/// A place: degrees of longitude, -180 to 180, and latitude, which the map cuts off at 85.05112878 to the north and the
/// south.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeoPoint {
    /// Degrees to the east of Greenwich.
    pub longitude: f64,
    /// Degrees to the north of the equator.
    pub latitude: f64,
}

impl GeoPoint {
    /// A place, longitude first.
    pub const fn new(longitude: f64, latitude: f64) -> GeoPoint {
        GeoPoint {
            longitude,
            latitude,
        }
    }

    fn add_to<'a, W: Way>(&self, call: Call<'a, W>) -> Call<'a, W> {
        call.double(self.longitude).double(self.latitude)
    }
}

impl Decode for GeoPoint {
    fn decode(value: Value) -> Result<GeoPoint> {
        let (longitude, latitude) = <(f64, f64)>::decode(value)?;
        Ok(GeoPoint::new(longitude, latitude))
    }
}

/// What distances are given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Metres.
    Metres,
    /// Kilometres.
    Kilometres,
    /// Feet.
    Feet,
    /// Miles.
    Miles,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Unit::Metres => "m",
            Unit::Kilometres => "km",
            Unit::Feet => "ft",
            Unit::Miles => "mi",
        }
    }
}

/// The middle of a search.
#[derive(Clone, Debug, PartialEq)]
pub enum Center {
    /// The place of a member, which must be there: else the search is an error.
    Member(Vec<u8>),
    /// A place.
    Point(GeoPoint),
}

impl From<GeoPoint> for Center {
    fn from(point: GeoPoint) -> Center {
        Center::Point(point)
    }
}

impl From<&str> for Center {
    fn from(member: &str) -> Center {
        Center::Member(member.into())
    }
}

impl From<&[u8]> for Center {
    fn from(member: &[u8]) -> Center {
        Center::Member(member.into())
    }
}

/// Which members to find; for [`Db::geosearch`], [`Db::geosearch_hits`] and the storing forms.
///
/// ```
/// # use redpoll::{Db, Config, GeoPoint, GeoSearch, Unit};
/// # let db = Db::open(Config::default())?;
/// db.geoadd("cities", "Palermo", GeoPoint::new(13.361389, 38.115556))?;
/// db.geoadd("cities", "Catania", GeoPoint::new(15.087269, 37.502669))?;
/// let near = GeoSearch::circle("Palermo", 200.0, Unit::Kilometres).ascending();
/// assert_eq!(db.geosearch("cities", &near)?, ["Palermo", "Catania"]);
/// let nearest = near.count(1);
/// assert_eq!(db.geosearch("cities", &nearest)?, ["Palermo"]);
/// # Ok::<(), redpoll::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct GeoSearch {
    shape: Shape,
    order: Option<&'static str>,
    count: Option<(usize, bool)>,
}

#[derive(Clone, Debug)]
enum Shape {
    Circle(Center, f64, Unit),
    Box(Center, f64, f64, Unit),
    Polygon(Vec<GeoPoint>),
}

impl GeoSearch {
    fn new(shape: Shape) -> GeoSearch {
        GeoSearch {
            shape,
            order: None,
            count: None,
        }
    }

    /// Members at most so far from a place or a member.
    pub fn circle(center: impl Into<Center>, radius: f64, unit: Unit) -> GeoSearch {
        GeoSearch::new(Shape::Circle(center.into(), radius, unit))
    }

    /// Members in a box around a place or a member, with sides along the parallels and meridians.
    pub fn rectangle(center: impl Into<Center>, width: f64, height: f64, unit: Unit) -> GeoSearch {
        GeoSearch::new(Shape::Box(center.into(), width, height, unit))
    }

    /// Members inside a polygon with at least three corners. Distances are from its middle, in metres.
    pub fn polygon(corners: impl IntoIterator<Item = GeoPoint>) -> GeoSearch {
        GeoSearch::new(Shape::Polygon(corners.into_iter().collect()))
    }

    /// The nearest first. Without an order, members come as they are met.
    pub fn ascending(mut self) -> GeoSearch {
        self.order = Some("ASC");
        self
    }

    /// The farthest first.
    pub fn descending(mut self) -> GeoSearch {
        self.order = Some("DESC");
        self
    }

    /// At most so many, those that come first in the order: without one, the nearest. 0 is an error of the call.
    pub fn count(mut self, members: usize) -> GeoSearch {
        self.count = Some((members, false));
        self
    }

    /// At most so many, the first that are met, which is faster but may leave nearer ones out.
    pub fn count_any(mut self, members: usize) -> GeoSearch {
        self.count = Some((members, true));
        self
    }

    fn add_to<'a, W: Way>(&'a self, call: Call<'a, W>) -> Call<'a, W> {
        let from = |call: Call<'a, W>, center: &'a Center| match center {
            Center::Member(member) => call.arg("FROMMEMBER").arg(member),
            Center::Point(point) => point.add_to(call.arg("FROMLONLAT")),
        };
        let mut call = match &self.shape {
            Shape::Circle(center, radius, unit) => from(call, center)
                .arg("BYRADIUS")
                .double(*radius)
                .arg(unit.word()),
            Shape::Box(center, width, height, unit) => from(call, center)
                .arg("BYBOX")
                .double(*width)
                .double(*height)
                .arg(unit.word()),
            Shape::Polygon(corners) => {
                let call = call.arg("BYPOLYGON").count(corners.len());
                corners.iter().fold(call, |call, point| point.add_to(call))
            }
        };
        if let Some(order) = self.order {
            call = call.arg(order);
        }
        match self.count {
            None => call,
            Some((n, any)) => call.arg("COUNT").count(n).word_if(any, "ANY"),
        }
    }
}

/// A member that was found; from [`Db::geosearch_hits`].
#[derive(Clone, Debug, PartialEq)]
pub struct GeoHit {
    /// Its name.
    pub member: Bytes,
    /// How far it is from the middle, in the search's unit, to four decimal places.
    pub distance: f64,
    /// Its position as 52 bits.
    pub hash: u64,
    /// Its position.
    pub point: GeoPoint,
}

impl Decode for GeoHit {
    fn decode(value: Value) -> Result<GeoHit> {
        let [member, distance, hash, point] = fixed(value)?;
        Ok(GeoHit {
            member: Bytes::decode(member)?,
            distance: f64::decode(distance)?,
            hash: u64::decode(hash)?,
            point: GeoPoint::decode(point)?,
        })
    }
}

impl<W: Way> Db<W> {
    /// Adds a member, or moves it, creating the sorted set if need be; whether it is new. A place that is not on the map is
    /// an error.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GeoPoint};
    /// # let db = Db::open(Config::default())?;
    /// assert!(db.geoadd("cities", "Palermo", GeoPoint::new(13.361389, 38.115556))?);
    /// assert!(db.geoadd("cities", "North Pole", GeoPoint::new(0.0, 90.0)).is_err());
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn geoadd(
        &self,
        key: impl AsRef<[u8]>,
        member: impl AsRef<[u8]>,
        point: GeoPoint,
    ) -> Result<bool> {
        point
            .add_to(self.command("GEOADD").arg(&key))
            .arg(&member)
            .run()
    }

    /// Adds several members at one moment, or moves them; how many are new.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GeoPoint};
    /// # let db = Db::open(Config::default())?;
    /// let here = GeoPoint::new(13.4, 52.5);
    /// assert_eq!(db.geoadd_many("places", [("a", here), ("b", here)])?, 2);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn geoadd_many<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = (M, GeoPoint)>,
    ) -> Result<usize> {
        self.geoadd_with(key, members, &ZAdd::new())
    }

    /// The same under conditions. Those of [`ZAdd`] that compare scores make no sense of places: the call is an error.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GeoPoint, ZAdd};
    /// # let db = Db::open(Config::default())?;
    /// let here = GeoPoint::new(13.4, 52.5);
    /// let known = ZAdd::new().if_present().count_changed();
    /// assert_eq!(db.geoadd_with("places", [("a", here)], &known)?, 0);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn geoadd_with<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = (M, GeoPoint)>,
        options: &ZAdd,
    ) -> Result<usize> {
        let members: Vec<(M, GeoPoint)> = members.into_iter().collect();
        if members.is_empty() {
            return Ok(0);
        }
        let mut call = options.add_to(self.command("GEOADD").arg(&key));
        for (member, point) in &members {
            call = point.add_to(call).arg(member);
        }
        call.run()
    }

    /// How far two members are apart; `None` if one of them is not there.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GeoPoint, Unit};
    /// # let db = Db::open(Config::default())?;
    /// db.geoadd("cities", "Palermo", GeoPoint::new(13.361389, 38.115556))?;
    /// db.geoadd("cities", "Catania", GeoPoint::new(15.087269, 37.502669))?;
    /// let distance = db.geodist("cities", "Palermo", "Catania", Unit::Metres)?;
    /// assert_eq!(distance, Some(166274.1516));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn geodist(
        &self,
        key: impl AsRef<[u8]>,
        a: impl AsRef<[u8]>,
        b: impl AsRef<[u8]>,
        unit: Unit,
    ) -> Result<Option<f64>> {
        self.command("GEODIST")
            .arg(&key)
            .arg(&a)
            .arg(&b)
            .arg(unit.word())
            .run()
    }

    /// The standard geohashes of members, 11 letters each; `None` for a member that is not there.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GeoPoint};
    /// # let db = Db::open(Config::default())?;
    /// db.geoadd("cities", "Palermo", GeoPoint::new(13.361389, 38.115556))?;
    /// assert_eq!(db.geohash("cities", ["Palermo", "x"])?, [Some("sqc8b49rny0".into()), None]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn geohash<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<Option<String>>> {
        self.many("GEOHASH", key.as_ref(), members)
    }

    /// The places of members; `None` for a member that is not there.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GeoPoint};
    /// # let db = Db::open(Config::default())?;
    /// db.geoadd("cities", "Palermo", GeoPoint::new(13.361389, 38.115556))?;
    /// let place = db.geopos("cities", ["Palermo"])?[0].unwrap();
    /// assert!((place.latitude - 38.115556).abs() < 0.00001);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn geopos<M: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<Option<GeoPoint>>> {
        self.many("GEOPOS", key.as_ref(), members)
    }

    /// The members that a search finds; see [`GeoSearch`].
    ///
    /// ```
    /// # use redpoll::{Config, Db, GeoPoint, GeoSearch, Unit};
    /// # let db = Db::open(Config::default())?;
    /// let here = GeoPoint::new(15.0, 37.0);
    /// db.geoadd("places", "a", here)?;
    /// let around = GeoSearch::circle(here, 1.0, Unit::Miles);
    /// assert_eq!(db.geosearch("places", &around)?, ["a"]);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn geosearch(&self, key: impl AsRef<[u8]>, search: &GeoSearch) -> Result<Vec<Bytes>> {
        search.add_to(self.command("GEOSEARCH").arg(&key)).run()
    }

    /// The members that a search finds, with their distances and places.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GeoPoint, GeoSearch, Unit};
    /// # let db = Db::open(Config::default())?;
    /// db.geoadd("cities", "Catania", GeoPoint::new(15.087269, 37.502669))?;
    /// let around = GeoSearch::circle(GeoPoint::new(15.0, 37.0), 200.0, Unit::Kilometres);
    /// let found = db.geosearch_hits("cities", &around)?;
    /// assert_eq!(found[0].member, "Catania");
    /// assert_eq!(found[0].distance, 56.4413);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn geosearch_hits(&self, key: impl AsRef<[u8]>, search: &GeoSearch) -> Result<Vec<GeoHit>> {
        search
            .add_to(self.command("GEOSEARCH").arg(&key))
            .arg("WITHDIST")
            .arg("WITHHASH")
            .arg("WITHCOORD")
            .run()
    }

    /// Stores the members that a search finds, with their places, at a key, whatever was there; how many they are. None at
    /// all delete the key.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GeoPoint, GeoSearch, Unit};
    /// # let db = Db::open(Config::default())?;
    /// let here = GeoPoint::new(15.0, 37.0);
    /// db.geoadd("places", "a", here)?;
    /// let around = GeoSearch::rectangle(here, 10.0, 10.0, Unit::Miles);
    /// assert_eq!(db.geosearchstore("near", "places", &around)?, 1);
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn geosearchstore(
        &self,
        to: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        search: &GeoSearch,
    ) -> Result<usize> {
        search
            .add_to(self.command("GEOSEARCHSTORE").arg(&to).arg(&key))
            .run()
    }

    /// The same with distances, in the search's unit, for scores.
    ///
    /// ```
    /// # use redpoll::{Db, Config, GeoPoint, GeoSearch, Unit};
    /// # let db = Db::open(Config::default())?;
    /// db.geoadd("places", "a", GeoPoint::new(15.0, 37.0))?;
    /// let around = GeoSearch::circle("a", 10.0, Unit::Feet);
    /// db.geosearchstore_distances("near", "places", &around)?;
    /// assert_eq!(db.zscore("near", "a")?, Some(0.0));
    /// # Ok::<(), redpoll::Error>(())
    /// ```
    pub fn geosearchstore_distances(
        &self,
        to: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        search: &GeoSearch,
    ) -> Result<usize> {
        search
            .add_to(self.command("GEOSEARCHSTORE").arg(&to).arg(&key))
            .arg("STOREDIST")
            .run()
    }
}
