//! Positions on the Earth: sorted sets whose scores are positions, as [`store::types::geo`] makes them.

use crate::base::args::Args;
use crate::base::error::{Error, Result};
use crate::cmd::sorted_set::{limits, record_in_decimal, reply_member};
use crate::context::command::{
    Command, DENYOOM, Group, KS_ACCESS, KS_OW, KS_RO, KS_RW, KS_UPDATE, KS_VARIABLE_FLAGS, KeySpec,
    MOVABLEKEYS, READONLY, WRITE, row,
};
use crate::context::ctx::Ctx;
use crate::door::change::Event;
use resp::Out;
use smallvec::SmallVec;
use store::Collection;
use store::types::geo::{self, Hit, MAX_LAT, MAX_LON, Point, Search, Shape};
use store::types::sorted_set::{SortedSet, SortedSetRef};

/// The commands of this file.
#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    row("geoadd", -5, WRITE | DENYOOM, Group::Geo, "3.2.0", geoadd)
        .keys(&[KeySpec::at(1, KS_RW | KS_UPDATE)])
        .args("key [condition(NX | XX)@6.2.0] [change=CH@6.2.0] \
               data{longitude:double latitude:double member}...")
        .docs("Adds members with their longitude and latitude.",
              "O(log(N)) for each member, N being the size of the sorted set")
        .history(&[("6.2.0", "New options CH, NX and XX.")]),
    row("geodist", -4, READONLY, Group::Geo, "3.2.0", geodist)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key member1 member2 [unit(M | KM | FT | MI)]")
        .docs("Returns the distance between two members.", "O(1)"),
    row("geohash", -2, READONLY, Group::Geo, "3.2.0", geohash)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key [member...]")
        .docs("Returns the positions of members as geohash strings.", "O(1) for each member"),
    row("geopos", -2, READONLY, Group::Geo, "3.2.0", geopos)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)]).args("key [member...]")
        .docs("Returns the longitude and latitude of members.", "O(1) for each member"),
    row("georadius", -6, WRITE | DENYOOM | MOVABLEKEYS, Group::Geo, "3.2.0", georadius)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS),
                KeySpec::after("STORE", 6, 0, 0, KS_OW | KS_UPDATE | KS_VARIABLE_FLAGS),
                KeySpec::after("STOREDIST", 6, 0, 0, KS_OW | KS_UPDATE | KS_VARIABLE_FLAGS)])
        .args("key longitude:double latitude:double radius:double unit(M | KM | FT | MI) \
               [WITHCOORD] [WITHDIST] [WITHHASH] [count-block{COUNT count:int [ANY@6.2.0]}] \
               [order(ASC | DESC)] \
               [store(STORE storekey<key>:key#1 | STOREDIST storedistkey<key>:key#2)]")
        .docs("Finds the members around a point, and can store them.",
              "O(N+log(M)), N being the number of members in the square around the circle and M \
               the number of all")
        .history(&[("6.2.0", "COUNT knows ANY."), ("7.0.0", "Units may be written in capitals.")]),
    row("georadius_ro", -6, READONLY, Group::Geo, "3.2.10", georadius_ro)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key longitude:double latitude:double radius:double unit(M | KM | FT | MI) \
               [WITHCOORD] [WITHDIST] [WITHHASH] [count-block{COUNT count:int [ANY@6.2.0]}] \
               [order(ASC | DESC)]")
        .docs("Finds the members around a point.",
              "O(N+log(M)), N being the number of members in the square around the circle and M \
               the number of all")
        .history(&[("6.2.0", "COUNT knows ANY."), ("7.0.0", "Units may be written in capitals.")]),
    row("georadiusbymember", -5, WRITE | DENYOOM | MOVABLEKEYS,
            Group::Geo, "3.2.0", georadiusbymember)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS),
                KeySpec::after("STORE", 5, 0, 0, KS_OW | KS_UPDATE | KS_VARIABLE_FLAGS),
                KeySpec::after("STOREDIST", 5, 0, 0, KS_OW | KS_UPDATE | KS_VARIABLE_FLAGS)])
        .args("key member radius:double unit(M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] \
               [count-block{COUNT count:int [ANY]}] [order(ASC | DESC)] \
               [store(STORE storekey<key>:key#1 | STOREDIST storedistkey<key>:key#2)]")
        .docs("Finds the members around a member, and can store them.",
              "O(N+log(M)), N being the number of members in the square around the circle and M \
               the number of all")
        .history(&[("6.2.0", "COUNT knows ANY."), ("7.0.0", "Units may be written in capitals.")]),
    row("georadiusbymember_ro", -5, READONLY, Group::Geo, "3.2.10", georadiusbymember_ro)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key member radius:double unit(M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] \
               [count-block{COUNT count:int [ANY]}] [order(ASC | DESC)]")
        .docs("Finds the members around a member.",
              "O(N+log(M)), N being the number of members in the square around the circle and M \
               the number of all")
        .history(&[("6.2.0", "COUNT knows ANY."), ("7.0.0", "Units may be written in capitals.")]),
    row("geosearch", -7, READONLY, Group::Geo, "6.2.0", geosearch)
        .keys(&[KeySpec::at(1, KS_RO | KS_ACCESS)])
        .args("key [from(FROMMEMBER member | FROMLONLAT{longitude:double latitude:double})] \
               by(circle{BYRADIUS radius:double unit(M | KM \
               | FT | MI)} | box{BYBOX width:double height:double \
               unit(M | KM | FT | MI)} | polygon{BYPOLYGON \
               num-vertices:int vertices{longitude:double latitude:double}...}@9.0.0) \
               [order(ASC | DESC)] [count-block{COUNT count:int [ANY]}] [WITHCOORD] [WITHDIST] \
               [WITHHASH]")
        .docs("Finds the members inside a circle, a box or a polygon.",
              "O(N+log(M)), N being the number of members in the square around the shape and M \
               the number of all")
        .history(&[
            ("7.0.0", "Units may be written in capitals."),
            ("9.0.0", "New option BYPOLYGON."),
        ]),
    row("geosearchstore", -8, WRITE | DENYOOM, Group::Geo, "6.2.0", geosearchstore)
        .keys(&[KeySpec::at(1, KS_OW | KS_UPDATE), KeySpec::at(2, KS_RO | KS_ACCESS)])
        .args("destination:key source:key#1 \
               [from(FROMMEMBER member | FROMLONLAT{longitude:double latitude:double})] \
               by(circle{BYRADIUS radius:double unit(M | KM \
               | FT | MI)} | box{BYBOX width:double height:double \
               unit(M | KM | FT | MI)} | polygon{BYPOLYGON \
               num-vertices:int vertices{longitude:double latitude:double}...}@9.0.0) \
               [order(ASC | DESC)] [count-block{COUNT count:int [ANY]}] [STOREDIST]")
        .docs("Stores the members inside a circle, a box or a polygon.",
              "O(N+log(M)), N being the number of members in the square around the shape and M \
               the number of all")
        .history(&[
            ("7.0.0", "Units may be written in capitals."),
            ("9.0.0", "New option BYPOLYGON."),
        ]),
];

const UNIT: Error = text("ERR unsupported unit provided. please use M, KM, FT, MI");
const NO_MEMBER: Error = text("ERR could not decode requested zset member");
const NEGATIVE_RADIUS: Error = text("ERR radius cannot be negative");
const NEGATIVE_BOX: Error = text("ERR height or width cannot be negative");
const COUNT: Error = text("ERR COUNT must be > 0");
const ANY_WITHOUT_COUNT: Error = text("ERR the ANY argument requires COUNT argument");
const FEW_CORNERS: Error = text("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices");

const fn text(text: &'static str) -> Error {
    Error::fixed(text)
}

/// Metres in a unit.
fn unit(arg: &[u8]) -> Result<f64> {
    let units = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let found = units
        .iter()
        .find(|(name, _)| arg.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, metres)| *metres).ok_or(UNIT)
}

fn number(arg: &[u8], error: &'static str) -> Result<f64> {
    resp::parse_f64(arg).ok_or(text(error))
}

fn point(lon: &[u8], lat: &[u8]) -> Result<Point> {
    let number = |arg| resp::parse_f64(arg).ok_or(Error::NOT_A_FLOAT);
    let p = Point {
        lon: number(lon)?,
        lat: number(lat)?,
    };
    if p.lon.abs() > MAX_LON || p.lat.abs() > MAX_LAT {
        return Err(Error::new(format!(
            "ERR invalid longitude,latitude pair {:.6},{:.6}",
            p.lon, p.lat
        )));
    }
    Ok(p)
}

fn circle(radius: &[u8], unit_name: &[u8]) -> Result<(Shape, f64)> {
    let radius = number(radius, "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(NEGATIVE_RADIUS);
    }
    Ok((Shape::Circle { radius }, unit(unit_name)?))
}

fn rectangle(width: &[u8], height: &[u8], unit_name: &[u8]) -> Result<(Shape, f64)> {
    let width = number(width, "ERR need numeric width")?;
    let height = number(height, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(NEGATIVE_BOX);
    }
    Ok((Shape::Box { width, height }, unit(unit_name)?))
}

/// The position of a member that must be there.
fn member_position(set: SortedSetRef<'_>, member: &[u8]) -> Result<Point> {
    set.score(member).map(geo::position).ok_or(NO_MEMBER)
}

/// Writes a distance: four digits after the point.
fn reply_distance(out: &mut Out, distance: f64) {
    let n = (distance * 1e4).round_ties_even() as i64;
    out.bulk_display(format_args!("{}.{:04}", n / 10_000, n % 10_000));
}

fn reply_point(out: &mut Out, p: Point) {
    out.array(2);
    out.double(p.lon);
    out.double(p.lat);
}

// ---- GEOADD, and what is asked about members

fn geoadd(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let argv = args.argv();
    let key = args.take();
    let (mut new_only, mut present_only, mut count_changed) = (false, false, false);
    loop {
        if args.keyword("NX") {
            new_only = true;
        } else if args.keyword("XX") {
            present_only = true;
        } else if args.keyword("CH") {
            count_changed = true;
        } else {
            break;
        }
    }
    let (members, rest) = args.rest().as_chunks::<3>();
    if members.is_empty() || !rest.is_empty() || new_only && present_only {
        return Err(Error::SYNTAX);
    }
    let mut scores: SmallVec<[f64; 8]> = SmallVec::with_capacity(members.len());
    for [lon, lat, _] in members {
        scores.push(geo::score(point(lon, lat)?));
    }
    let limits = limits(ctx.engine);
    let (mut added, mut updated) = (0, 0);
    let change = |set: &mut SortedSet| {
        set.expect(members.len(), members[0][2].len(), limits);
        for ([_, _, member], score) in members.iter().zip(&scores) {
            set.update(member, limits, |present| match present {
                None if present_only => None,
                None => {
                    added += 1;
                    Some(*score)
                }
                Some(old) if new_only || old == *score => None,
                Some(_) => {
                    updated += 1;
                    Some(*score)
                }
            });
        }
    };
    if present_only {
        ctx.keys.edit(key, change)?;
    } else {
        ctx.keys.edit_or_create(key, change)?;
    }
    if added + updated > 0 {
        let times = (added + updated) as usize;
        ctx.keys
            .changed_times(key, Event::sorted_set("zadd"), times);
        let first = argv.len() - 3 * members.len();
        record_in_decimal(ctx, argv, |i| i >= first && (i - first) % 3 < 2);
    }
    ctx.out.int(if count_changed {
        added + updated
    } else {
        added
    });
    Ok(())
}

fn geodist(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, a, b) = (args.take(), args.take(), args.take());
    let metres = match args.rest() {
        [] => 1.0,
        [name] => unit(name)?,
        _ => return Err(Error::SYNTAX),
    };
    let set = ctx.keys.view::<SortedSet>(key)?;
    match set.and_then(|set| Some((set.score(a)?, set.score(b)?))) {
        Some((a, b)) => reply_distance(
            ctx.out,
            geo::distance(geo::position(a), geo::position(b)) / metres,
        ),
        None => ctx.out.null(),
    }
    Ok(())
}

fn geohash(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let set = ctx.keys.view::<SortedSet>(args.take())?;
    ctx.out.array(args.left());
    for member in args.rest() {
        match set.and_then(|set| set.score(member)) {
            Some(score) => ctx.out.bulk(&geo::geohash(geo::position(score))),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

fn geopos(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let set = ctx.keys.view::<SortedSet>(args.take())?;
    ctx.out.array(args.left());
    for member in args.rest() {
        match set.and_then(|set| set.score(member)) {
            Some(score) => reply_point(ctx.out, geo::position(score)),
            None => ctx.out.null_array(),
        }
    }
    Ok(())
}

// ---- Searching

/// What a search's reply shows, how much of it and in which order.
#[derive(Clone, Copy, Default)]
struct Options<'a> {
    distance: bool,
    hash: bool,
    coordinates: bool,
    /// Most results; 0 for all.
    count: usize,
    /// Any that are found will do.
    any: bool,
    /// Whether the farthest come first, where an order is asked for.
    descending: Option<bool>,
    /// The key that gets the results.
    destination: Option<&'a [u8]>,
    /// It gets the distances as scores.
    store_distance: bool,
    /// What its change is announced as.
    event: &'static str,
}

impl<'a> Options<'a> {
    /// Takes one of the options that all searches have.
    fn take(&mut self, args: &mut Args<'a>) -> Result<bool> {
        if args.keyword("WITHDIST") {
            self.distance = true;
        } else if args.keyword("WITHHASH") {
            self.hash = true;
        } else if args.keyword("WITHCOORD") {
            self.coordinates = true;
        } else if args.keyword("ANY") {
            self.any = true;
        } else if args.keyword("ASC") {
            self.descending = Some(false);
        } else if args.keyword("DESC") {
            self.descending = Some(true);
        } else if args.keyword_with_value("COUNT") {
            let count = args.int();
            args.check()?;
            self.count = usize::try_from(count)
                .ok()
                .filter(|n| *n > 0)
                .ok_or(COUNT)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn check_destination(&self, command: &str) -> Result {
        if self.destination.is_some() && (self.distance || self.hash || self.coordinates) {
            return Err(Error::new(format!(
                "ERR {command} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        Ok(())
    }

    fn check_any(&self) -> Result {
        if self.any && self.count == 0 {
            Err(ANY_WITHOUT_COUNT)
        } else {
            Ok(())
        }
    }
}

/// Searches and replies, or stores what was found. `None`: there is no such key.
fn run(ctx: &mut Ctx<'_>, key: &[u8], search: Option<Search>, options: Options<'_>) -> Result {
    // Counted as read already.
    let set = ctx.keys.peek_view::<SortedSet>(key)?;
    if let (Some(set), Some(search)) = (set, &search)
        && ctx.must_move(set.len())
        && !options.any
        && ctx.must_move(search.candidates(set))
    {
        return ctx.move_after_read();
    }
    let mut hits = Vec::new();
    let mut metres = 1.0;
    if let (Some(set), Some(search)) = (set, search) {
        metres = search.unit;
        hits = search.find(
            set,
            if options.any {
                options.count
            } else {
                usize::MAX
            },
        );
        // The first few without an order are the nearest few.
        let order = options
            .descending
            .or((options.count > 0 && !options.any).then_some(false));
        if let Some(descending) = order {
            geo::sort(&mut hits, descending, options.count);
        }
    }
    let Some(destination) = options.destination else {
        reply_hits(ctx.out, &hits, metres, options);
        return Ok(());
    };
    let limits = limits(ctx.engine);
    ctx.keys.make_room(0, hits.len() * MEMBER)?;
    let mut result = SortedSet::new();
    for hit in &hits {
        let score = if options.store_distance {
            hit.distance / metres
        } else {
            hit.score
        };
        result.insert(hit.member.text(&mut [0; 20]), score, limits);
    }
    ctx.out.int(hits.len() as i64);
    let event = Event::sorted_set(options.event);
    ctx.keys
        .store_result_of(destination, result, event, hits.len());
    Ok(())
}

fn reply_hits(out: &mut Out, hits: &[Hit<'_>], metres: f64, options: Options<'_>) {
    let Options {
        distance,
        hash,
        coordinates,
        ..
    } = options;
    let parts = usize::from(distance) + usize::from(hash) + usize::from(coordinates);
    out.array(hits.len());
    for hit in hits {
        if parts > 0 {
            out.array(1 + parts);
        }
        reply_member(out, hit.member);
        if distance {
            reply_distance(out, hit.distance / metres);
        }
        if hash {
            out.int(geo::shown_score(hit.score));
        }
        if coordinates {
            reply_point(out, hit.at);
        }
    }
}

/// GEORADIUS and its kin: around a point, or around a member.
fn georadius_generic(
    ctx: &mut Ctx<'_>,
    mut args: Args<'_>,
    by_member: bool,
    stores: bool,
) -> Result {
    let argv = args.argv();
    let key = args.take();
    let set = ctx.keys.view::<SortedSet>(key)?;
    let center = if by_member {
        let member = args.take();
        // Around a member of nothing there is nothing, and the radius is not looked at.
        set.map(|set| member_position(set, member)).transpose()?
    } else {
        Some(point(args.take(), args.take())?)
    };
    let (radius, unit_name) = (args.take(), args.take());
    let search = match center {
        Some(center) => {
            let (shape, unit) = circle(radius, unit_name)?;
            Some(Search {
                center,
                shape,
                unit,
            })
        }
        None => None,
    };
    let mut options = Options {
        event: "georadiusstore",
        ..Options::default()
    };
    while args.left() > 0 {
        if options.take(&mut args)? {
        } else if stores && args.keyword_with_value("STORE") {
            options.destination = Some(args.take());
            options.store_distance = false;
        } else if stores && args.keyword_with_value("STOREDIST") {
            options.destination = Some(args.take());
            options.store_distance = true;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    options.check_destination("STORE option in GEORADIUS")?;
    options.check_any()?;
    run(ctx, key, search, options)?;
    let numbers = if by_member { 3..4 } else { 2..5 };
    record_in_decimal(ctx, argv, |i| numbers.contains(&i));
    Ok(())
}

fn georadius(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    georadius_generic(ctx, args, false, true)
}

fn georadius_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    georadius_generic(ctx, args, false, false)
}

fn georadiusbymember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    georadius_generic(ctx, args, true, true)
}

fn georadiusbymember_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    georadius_generic(ctx, args, true, false)
}

/// Where GEOSEARCH starts from.
#[derive(Clone, Copy, PartialEq)]
enum From {
    /// A member; its position unless there is no such key.
    Member(Option<Point>),
    Point(Point),
}

/// `BYPOLYGON` has been taken: reads the number of corners and the corners.
fn polygon(args: &mut Args<'_>) -> Result<Search> {
    let n = resp::parse_i64(args.take()).and_then(|n| i32::try_from(n).ok());
    let n = n.ok_or(text("ERR invalid number of vertices"))?;
    let n = usize::try_from(n)
        .ok()
        .filter(|n| *n >= 3 && *n <= args.left() / 2)
        .ok_or(FEW_CORNERS)?;
    let mut corners = Vec::with_capacity(n);
    for _ in 0..n {
        corners.push(point(args.take(), args.take())?);
    }
    Ok(Search::polygon(corners))
}

fn geosearch_generic<'a>(
    ctx: &mut Ctx<'_>,
    mut args: Args<'a>,
    destination: Option<&'a [u8]>,
) -> Result {
    let key = args.take();
    let set = ctx.keys.view::<SortedSet>(key)?;
    let mut options = Options {
        destination,
        event: "geosearchstore",
        ..Options::default()
    };
    let mut from = None;
    let mut by = None;
    let mut outline: Option<Search> = None;
    while args.left() > 0 {
        let (circular, boxed) = match &by {
            None => (false, false),
            Some((shape, _)) => (
                matches!(shape, Shape::Circle { .. }),
                matches!(shape, Shape::Box { .. }),
            ),
        };
        let left = args.left();
        if options.take(&mut args)? {
        } else if destination.is_some() && args.keyword("STOREDIST") {
            options.store_distance = true;
        } else if outline.is_none()
            && !matches!(from, Some(From::Point(_)))
            && args.keyword_with_value("FROMMEMBER")
        {
            let member = args.take();
            from = Some(From::Member(
                set.map(|set| member_position(set, member)).transpose()?,
            ));
        } else if outline.is_none()
            && left > 2
            && !matches!(from, Some(From::Member(_)))
            && args.keyword("FROMLONLAT")
        {
            from = Some(From::Point(point(args.take(), args.take())?));
        } else if outline.is_none() && left > 2 && !boxed && args.keyword("BYRADIUS") {
            by = Some(circle(args.take(), args.take())?);
        } else if outline.is_none() && left > 3 && !circular && args.keyword("BYBOX") {
            by = Some(rectangle(args.take(), args.take(), args.take())?);
        } else if left > 2 && by.is_none() && from.is_none() && args.keyword("BYPOLYGON") {
            outline = Some(polygon(&mut args)?);
        } else {
            return Err(Error::SYNTAX);
        }
    }
    options.check_destination("GEOSEARCHSTORE")?;
    let name = args.argv()[0];
    let search = match (outline, from, by) {
        (Some(outline), _, _) => Some(outline),
        (None, None, _) => {
            return Err(Error::quoting(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {}",
                &[name],
            ));
        }
        (None, _, None) => {
            return Err(Error::quoting(
                "ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for {}",
                &[name],
            ));
        }
        (None, Some(From::Member(None)), _) => None,
        (None, Some(From::Member(Some(center)) | From::Point(center)), Some((shape, unit))) => {
            Some(Search {
                center,
                shape,
                unit,
            })
        }
    };
    options.check_any()?;
    run(ctx, key, search, options)
}

fn geosearch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    geosearch_generic(ctx, args, None)
}

/// About what a member of a result takes in memory, in bytes.
const MEMBER: usize = 64;

fn geosearchstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let argv = args.argv();
    let destination = args.take();
    geosearch_generic(ctx, args, Some(destination))?;
    let is_member = |i: usize| argv[i - 1].eq_ignore_ascii_case(b"FROMMEMBER");
    record_in_decimal(ctx, argv, |i| i > 2 && !is_member(i));
    Ok(())
}

#[cfg(test)]
mod tests;
