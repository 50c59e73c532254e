/* The commit protocol of docs/design/record-and-commit.md, for an exhaustive search by spin (make model).
 *
 * Three or four hosts, of which some are voters. Two writers, each of which makes one change after the other. Each message
 * is a step of its own: it comes at any time and in any order, or never. So a host that does not answer is one that has
 * not been asked, and a writer that dies stops in the middle (and comes back as another one). A lease runs out or is
 * forgotten by a restart (another writer takes it), a voter loses its record. A writer may change the voters, in the two
 * commits that the code makes. A record is a number; the tables say its generation, its voters and what it was made of.
 *
 * What must hold at any time: whichever hosts answer, and whichever of them a reader begins with, the record that counts
 * for the reader is made of every record that was acknowledged.
 *
 * The hosts of a provider block only say where a reader begins: the record that most of them have names the voters that
 * are asked. Some host has that record, so here a reader (and a writer) begins with the record of any host. This covers
 * every block: the old one, the new one and any other.
 *
 * Each variant leaves out one rule. The search must find a loss then, which shows what the rule is for:
 *   AMNESIAC_VOTES    a voter without a record does not vote
 *   ONE_IS_ENOUGH     a commit has succeeded when a majority has it, not one voter
 *   NO_PROMISE        voters keep on disk which generation they have promised
 *   NO_SWAP           an agent replaces only the record that the writer has seen there
 *   NO_JUDGE          what counts is decided again with the answers to the prepare, which do not change any more
 *   ONLY_NEW_MAJORITY a change of voters needs a majority of the voters before as well
 *   ONE_COMMIT        a change of voters takes two commits, of which the first names both sets
 *   UNCERTAIN_ENDS    the second commit is made only when majorities of both sets have the first
 *   READ_BOTH         a reader that meets the first commit asks the voters before, and then the new ones; it does not
 *                     ask for one record that suits both
 *   JUDGE_BOTH        the same, where what counts is decided again */
#ifndef HOSTS
#define HOSTS 3     /* or 4 */
#endif
#define WRITERS 2
#ifndef FIRST
#define FIRST 7     /* the voters at the beginning: a bit for each host */
#endif
/* WANTED is what a change makes the voters, or FIRST again, or OTHER. Without it the voters are fixed. */
#ifndef WITHOUT
#define WITHOUT 0   /* hosts that have no record at the beginning: bits */
#endif
#ifndef RECORDS
#define RECORDS 4   /* 0 is none, 1 the one that all have at the beginning */
#endif
#ifndef LOSSES
#define LOSSES 0    /* of records */
#endif
/* BEGUN: the search starts where the first commit of a change to WANTED was acknowledged. Any hosts have it that are a
 * majority of both sets. This goes further into a change than a search from its beginning can. */
#ifdef BEGUN
#define MADE 3
#else
#define MADE 2
#endif
#define NOBODY 15
#define BIT(at) (1 << (at))
#define COUNT(bits) (((bits) & 1) + (((bits) >> 1) & 1) + (((bits) >> 2) & 1) + (((bits) >> 3) & 1))

/* Of records. */
byte generation[RECORDS];
byte madeOf[RECORDS];         /* bits of records: itself and those that it was made of */
byte voters[RECORDS];         /* the set, plus 16 times the set before while both decide */
byte acknowledged = 0;        /* bits of records, without those that another of them is made of */
byte records = MADE;          /* made so far */

/* Of hosts: on disk the record and the promise, in memory the lease (the record that is prepared, 0 for none). */
byte has[HOSTS];
byte promised[HOSTS];
byte lease[HOSTS];
byte losses = 0;

/* Of writers: what they saw in the snapshot, who has voted, who has taken it. */
byte saw[WRITERS*HOSTS];      /* [HOSTS*writer+host], NOBODY for no answer */
byte voted[WRITERS];          /* bits of hosts */
byte took[WRITERS];
byte mine[WRITERS];
byte base[WRITERS];           /* 0 as well when the commits are sent */
byte newest[WRITERS];
byte need[WRITERS];           /* the sets that have to agree, as in voters */
#if LOSSES > 0
/* A lease that runs out is older than any round of prepares may be: a writer whose round is no younger begins again.
 * [2*host+writer]: the writer's round is younger than the lease there. */
bool younger[HOSTS*WRITERS];
bool tooOld[WRITERS];
#define TOOOLD(me) tooOld[me]
#else
#define TOOOLD(me) false
#endif

/* Sets of voters are as in voters: one set, or two of which each must agree. */
#define MORE(set, bits) more[16*(set) + ((bits) & 15)]
#define MAJORITY(sets, bits) (MORE((sets) & 15, bits) && MORE((sets) >> 4, bits))

/* Of inlines: they mean nothing between two steps, so the search does not store them. */
hidden byte more[256];        /* [16*set+bits], constant: the bits are more than half of the set, or the set is empty */
hidden byte v, r, s, same, newer, telling, result, found, away, q, tried;
hidden byte heard, certain;    /* of one ballot */
hidden byte all, agree;        /* of the ballots about found: all were heard, all have just found */
hidden byte look[HOSTS];
hidden byte start, wants;     /* chosen in steps: a d_step must not set them, because spin would not restore them */

/* result is the record that counts among what is in look for the voters q, 0 for none: see quorum.go. */
inline decide() {
	telling = 0; v = 0;
	do
	:: v < HOSTS ->
		if
		:: look[v] != NOBODY && look[v] != 0 -> telling = telling | BIT(v)
		:: else
		fi;
		v++
	:: else -> break
	od;
	result = 0; certain = false; r = 1;
	do
	:: r < records ->
		same = 0; newer = 0; v = 0;
		do
		:: v < HOSTS ->
			if
			:: look[v] == r -> same = same | BIT(v)
			:: look[v] != r && look[v] != NOBODY -> newer = newer | (generation[look[v]] > generation[r] -> BIT(v) : 0)
			:: else
			fi;
			v++
		:: else -> break
		od;
		if
		:: MAJORITY(q, same) -> result = r; certain = true; break
		:: else ->
			if
			:: (same & (q | (q >> 4))) != 0 && MAJORITY(q, same | newer | (15 - telling)) && (result == 0 || generation[r] > generation[result]) -> result = r
			:: else
			fi
		fi;
		r++
	:: else -> break
	od;
#ifdef AMNESIAC_VOTES
	v = 0;
	do
	:: v < HOSTS ->
		if
		:: look[v] == 0 -> telling = telling | BIT(v)
		:: else
		fi;
		v++
	:: else -> break
	od;
#endif
	heard = MAJORITY(q, telling)
}

/* Two sets of voters are asked one after the other, the ones before first; in variants in one ballot. */
#define SETBEFORE(sets) ((sets) > 15 -> (sets) >> 4 : (sets))
#ifdef READ_BOTH
#define READFIRST(sets) (sets)
#define READSECOND(sets) false
#else
#define READFIRST(sets) SETBEFORE(sets)
#define READSECOND(sets) ((sets) > 15)
#endif
#ifdef JUDGE_BOTH
#define JUDGEFIRST(sets) (sets)
#define JUDGESECOND(sets) false
#else
#define JUDGEFIRST(sets) SETBEFORE(sets)
#define JUDGESECOND(sets) ((sets) > 15)
#endif

/* found is the record that counts for a reader that begins with the record seed: see choose in voters.go. Where two sets
 * are named, the voters before decide first, because a change that they have not taken never began. If it began, the new
 * voters may have ended it and gone on alone, and then the voters before do not know. */
inline read(seed) {
	q = READFIRST(voters[seed]);
	decide();
	found = (result != 0 -> result : seed);
	do
	:: q = READFIRST(voters[found]);
		decide();
		agree = certain && result == found; all = heard;
		if
		:: generation[result] > generation[found] -> found = result
		:: else ->
			if
			:: !READSECOND(voters[found]) -> break
			:: else ->
				q = voters[found] & 15;
				decide();
				agree = agree && certain && result == found; all = all && heard;
				if
				:: generation[result] > generation[found] -> found = result
				:: else -> break
				fi
			fi
		fi
	od
}

#define LOST(record) ((acknowledged & (255 - madeOf[record])) != 0)

/* check reads from all hosts and from any part of them, and begins with each record that one of them has. There is nothing
 * to find where the record of every host is made of all that was acknowledged. */
inline check() {
	s = 0;
	do
	:: s < HOSTS && (has[s] == 0 || !LOST(has[s])) -> s++
	:: else -> break
	od;
	away = (s < HOSTS -> 0 : BIT(HOSTS));
	do
	:: away < BIT(HOSTS) ->
		v = 0;
		do
		:: v < HOSTS -> look[v] = ((away & BIT(v)) != 0 -> NOBODY : has[v]); v++
		:: else -> break
		od;
		s = 0; tried = 0;
		do
		:: s < HOSTS ->
			if
			:: look[s] != NOBODY && look[s] != 0 && voters[look[s]] != tried ->
				tried = voters[look[s]];
				read(look[s]);
				assert(!all || !LOST(found))
			:: else
			fi;
			s++
		:: else -> break
		od;
		away++
	:: else -> break
	od;
	v = 0
}

#define SAW(me, at) saw[HOSTS*me+at]

inline ask(me, at) {
	d_step {
		records < RECORDS && SAW(me, at) == NOBODY ->
		SAW(me, at) = has[at];
		if
		:: promised[at] > newest[me] -> newest[me] = promised[at]
		:: else
		fi
	}
}

inline forget(me) {
	v = 0;
	do
	:: v < HOSTS -> SAW(me, v) = NOBODY; v++
	:: else -> break
	od;
	v = 0; newest[me] = 0
}

/* nextVoters are those of the record that is made of found: see voters_change.go. wants is what the writer's provider
 * block says, 0 where the writer changes something else. */
inline nextVoters(me) {
	q = voters[found];
	need[me] = q;
#ifdef UNCERTAIN_ENDS
	agree = true;
#endif
	if
	:: q > 15 && agree -> voters[mine[me]] = q & 15
	:: q <= 15 && wants != 0 && wants != q && MORE(wants, telling) ->
#ifdef ONE_COMMIT
		voters[mine[me]] = wants;
#else
		voters[mine[me]] = wants + 16*q;
#endif
		need[me] = wants + 16*q
	:: else -> voters[mine[me]] = q
	fi;
#ifdef ONLY_NEW_MAJORITY
	need[me] = voters[mine[me]] & 15
#endif
}

/* begin makes the next record. */
inline begin(me) {
	d_step {
		v = 0;
		do
		:: v < HOSTS -> look[v] = SAW(me, v); v++
		:: else -> break
		od;
		read(SAW(me, start));
		if
		:: all ->
			mine[me] = records; records++; base[me] = found;
			v = 0;
			do
			:: v < HOSTS ->
				if
				:: look[v] != NOBODY && generation[look[v]] > newest[me] -> newest[me] = generation[look[v]]
				:: else
				fi;
				v++
			:: else -> break
			od;
			generation[mine[me]] = newest[me] + 1;
			madeOf[mine[me]] = madeOf[found] | BIT(mine[me]);
			newest[me] = 0;
			nextVoters(me);
#if LOSSES > 0
			v = 0;
			do
			:: v < HOSTS -> younger[2*v+me] = (lease[v] != 0); v++
			:: else -> break
			od;
#endif
		:: else -> forget(me)
		fi;
		v = 0
	}
}

#ifdef NO_SWAP
#define UNCHANGED(me, at) true
#else
#define UNCHANGED(me, at) (has[at] == SAW(me, at))
#endif
#define VOTER(me, at) (((need[me] | (need[me] >> 4)) & BIT(at)) != 0)

/* prepare at one host. A lease that another writer has may have run out by then. Only a voter promises anything. */
inline prepare(me, at) {
	d_step {
		lease[at] != mine[me] && SAW(me, at) != NOBODY && UNCHANGED(me, at) && generation[mine[me]] > generation[has[at]] && (!VOTER(me, at) || generation[mine[me]] > promised[at]) ->
#if LOSSES > 0
		if
		:: lease[at] != 0 -> tooOld[0] = tooOld[0] || (base[0] != 0 && !younger[2*at]); tooOld[1] = tooOld[1] || (base[1] != 0 && !younger[2*at+1])
		:: else
		fi;
		younger[2*at] = false; younger[2*at+1] = false;
#endif
		lease[at] = mine[me];
		if
		:: VOTER(me, at) ->
#ifndef NO_PROMISE
			promised[at] = generation[mine[me]];
#endif
#ifndef AMNESIAC_VOTES
			if
			:: has[at] != 0 -> voted[me] = voted[me] | BIT(at)
			:: else
			fi
#else
			voted[me] = voted[me] | BIT(at)
#endif
		:: else
		fi
	}
}

/* drop forgets which records are made of these, that nobody asks for any more: they will never be acknowledged, or another
 * one was that is made of them. It changes no answer, and leaves fewer states to search. */
inline drop(these) {
	r = 1;
	do
	:: r < RECORDS -> madeOf[r] = madeOf[r] & (255 - (these)); r++
	:: else -> break
	od;
	r = 0
}

inline freeLease(at) {
#if LOSSES > 0
	younger[2*at] = false; younger[2*at+1] = false;
#endif
	lease[at] = 0
}

inline roundOver(me) {
#if LOSSES > 0
	v = 0;
	do
	:: v < HOSTS -> younger[2*v+me] = false; v++
	:: else -> break
	od;
	tooOld[me] = false
#else
	skip
#endif
}

/* giveUp ends what the writer does. Leases that are left are given back, or run out. */
inline giveUp(me) {
	v = 0;
	do
	:: v < HOSTS ->
		if
		:: lease[v] == mine[me] -> freeLease(v)
		:: else
		fi;
		v++
	:: else -> break
	od;
	roundOver(me);
	if
	:: (acknowledged & BIT(mine[me])) == 0 -> drop(BIT(mine[me]))
	:: else
	fi;
	v = 0;
	do
	:: v < HOSTS && has[v] != mine[me] && SAW(1 - me, v) != mine[me] -> v++
	:: else -> break
	od;
	if
	:: v == HOSTS -> generation[mine[me]] = 0; madeOf[mine[me]] = 0; voters[mine[me]] = 0 /* nobody has it */
	:: else
	fi;
	mine[me] = 0; base[me] = 0; voted[me] = 0; took[me] = 0; need[me] = 0;
	forget(me)
}

#define SUPERSEDED(me) (heard && result != base[me] && generation[result] >= generation[base[me]])

/* judge decides again, with what the voters have that have granted a lease: it stays as it is. The snapshot's answers
 * are of different moments, and those of the others are not known any more. Then the commits are sent, or not. */
inline judge(me) {
	d_step {
		v = 0;
		do
		:: v < HOSTS -> look[v] = ((voted[me] & BIT(v)) != 0 -> SAW(me, v) : NOBODY); v++
		:: else -> break
		od;
#ifndef NO_JUDGE
		q = JUDGEFIRST(voters[base[me]]);
		decide();
		all = !SUPERSEDED(me);
		if
		:: JUDGESECOND(voters[base[me]]) -> q = voters[base[me]] & 15; decide(); all = all && !SUPERSEDED(me)
		:: else
		fi;
		if
		:: !all -> voted[me] = 0
		:: else
		fi;
#endif
		if
		:: MAJORITY(need[me], voted[me]) && !TOOOLD(me) -> base[me] = 0; roundOver(me); forget(me)
		:: else -> giveUp(me)
		fi
	}
}

inline commit(me, at) {
	d_step {
		mine[me] != 0 && lease[at] == mine[me] ->
		has[at] = mine[me]; freeLease(at);
		took[me] = took[me] | (voted[me] & BIT(at));
		if
#ifdef ONE_IS_ENOUGH
		:: took[me] != 0 && need[me] != 0 ->
#else
		:: need[me] != 0 && MAJORITY(need[me], took[me]) ->
#endif
			same = acknowledged & madeOf[mine[me]];
			drop(same);
			acknowledged = (acknowledged & (255 - same)) | BIT(mine[me]);
			voted[me] = 0; took[me] = 0; need[me] = 0
		:: else
		fi;
		check()
	}
}

#if HOSTS > 3
#define FOURTH(what, me) :: what(me, 3)
#else
#define FOURTH(what, me)
#endif

/* A writer begins with the record of any host that has answered. The two writers are alike, so only one order of their
 * first records is searched. */
#define ANSWERED(me, at) (SAW(me, at) != NOBODY && SAW(me, at) != 0)
#define SEED(me, at) :: ANSWERED(me, at) -> start = at
#ifdef OTHER
#define WANTS if :: wants = 0 :: wants = FIRST :: wants = WANTED :: wants = OTHER fi
#elif defined(WANTED)
#define WANTS if :: wants = 0 :: wants = FIRST :: wants = WANTED fi
#else
#define WANTS skip
#endif

proctype write(byte me) {
endless:
	do
	:: ask(me, 0)
	:: ask(me, 1)
	:: ask(me, 2)
	FOURTH(ask, me)
	:: atomic {
			records < RECORDS && (me == 0 || records > MADE) && (ANSWERED(me, 0) || ANSWERED(me, 1) || ANSWERED(me, 2)) ->
			if
			SEED(me, 0)
			SEED(me, 1)
			SEED(me, 2)
#if HOSTS > 3
			SEED(me, 3)
#endif
			fi;
			WANTS;
			begin(me);
			if
			:: mine[me] != 0 -> break
			:: else
			fi
		}
	od;
	do
	:: prepare(me, 0)
	:: prepare(me, 1)
	:: prepare(me, 2)
	FOURTH(prepare, me)
	:: judge(me); break
	od;
	do
	:: commit(me, 0)
	:: commit(me, 1)
	:: commit(me, 2)
	FOURTH(commit, me)
	:: d_step { giveUp(me) }; break
	od;
	goto endless
}

#if HOSTS > 3
#define ALLHAVE (has[0] != 0 && has[1] != 0 && has[2] != 0 && has[3] != 0)
#else
#define ALLHAVE (has[0] != 0 && has[1] != 0 && has[2] != 0)
#endif

#if LOSSES > 0
/* lose is a new disk: the promise is lost as well. */
inline lose(me, at) {
	d_step {
		losses < LOSSES && ALLHAVE ->
		losses++;
		has[at] = 0; promised[at] = 0; freeLease(at);
		check()
	}
}

/* restart forgets a lease at once. Without losses there is no need for it: a lease may run out at any time then. */
inline restart(me, at) { d_step { lease[at] != 0 -> freeLease(at) } }

proctype fault() {
endless:
	do
	:: lose(0, 0)
	:: lose(0, 1)
	:: lose(0, 2)
	FOURTH(lose, 0)
	:: restart(0, 0)
	:: restart(0, 1)
	:: restart(0, 2)
	FOURTH(restart, 0)
	od
}
#endif

/* take decides whether the host has the record that BEGUN is about. */
inline take(me, at) { if :: has[at] = 2; promised[at] = 2 :: skip fi }

init {
	d_step {
		s = 0;
		do
		:: s < 16 ->
			r = 0;
			do
			:: r < 16 -> more[16*s+r] = (s == 0 || 2*COUNT(s & r) > COUNT(s)); r++
			:: else -> break
			od;
			s++
		:: else -> break
		od;
		generation[1] = 1; madeOf[1] = BIT(1); voters[1] = FIRST;
		v = 0;
		do
		:: v < HOSTS -> has[v] = ((WITHOUT & BIT(v)) == 0); promised[v] = has[v]; saw[v] = NOBODY; saw[HOSTS+v] = NOBODY; v++
		:: else -> break
		od;
		v = 0
	}
#ifdef BEGUN
	d_step { generation[2] = 2; madeOf[2] = BIT(1) + BIT(2); voters[2] = WANTED + 16*FIRST; acknowledged = BIT(2) };
	take(0, 0); take(0, 1); take(0, 2);
#if HOSTS > 3
	take(0, 3);
#endif
	d_step {
		s = 0; same = 0;
		do
		:: s < HOSTS -> same = same | (has[s] == 2 -> BIT(s) : 0); s++
		:: else -> break
		od;
		losses = (MAJORITY(voters[2], same) -> 0 : 255)
	};
	if
	:: losses == 255 -> records = RECORDS /* not a majority of both: nothing to search */
	:: else
	fi;
#endif
	atomic {
		run write(0); run write(1);
#if LOSSES > 0
		run fault()
#endif
	}
}
