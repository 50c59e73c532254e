/* The commit protocol of docs/design/record-and-commit.md, for an exhaustive search by spin (make model).
 *
 * Three voters. Two writers, each of which makes one change after the other. Each message is a step of its own. A voter
 * does not answer, a message gets lost or comes late, a writer dies (all its commits get lost) and comes back as another
 * one, a lease runs out or is forgotten by a restart (another writer takes it), a voter loses its record. A record is a
 * number; the tables say which generation it has and what it was made of.
 *
 * What must hold at any time: whichever majority a reader meets, the record that counts there is made of every record
 * that was acknowledged.
 *
 * What a variant leaves out, to see that the search finds what the rule is for:
 *   AMNESIAC_VOTES   that a voter without a record does not vote
 *   ONE_IS_ENOUGH    that a commit is a success when a majority has it, not one voter
 *   NO_PROMISE       that voters keep on disk which generation they have promised
 *   NO_SWAP          that an agent replaces only the record that the writer has seen there
 *   NO_JUDGE         that what counts is decided again with the answers to the prepare, which do not change any more */
#define VOTERS 3
#define MAJORITY 2
#define WRITERS 2
#ifndef RECORDS
#define RECORDS 4   /* 0 is none, 1 the one that all have at the beginning */
#endif
#ifndef LOSSES
#define LOSSES 1    /* of records */
#endif
#define NOBODY 15

/* Of records. */
byte generation[RECORDS];
bool ancestor[16];            /* [4*a+b], a < b: b is made of a */
bool acknowledged[RECORDS];
byte records = 2;             /* made so far */

/* Of voters: on disk the record and the promise, in memory the lease (the record that is prepared, 0 for none). */
byte has[VOTERS];
byte promised[VOTERS];
byte lease[VOTERS];
byte losses = 0;

/* Of writers: what they saw in the snapshot, who has voted, who has taken it. */
byte saw[6];                  /* [3*writer+voter], NOBODY for no answer */
byte voted[WRITERS];          /* bits */
byte took[WRITERS];
byte mine[WRITERS];
byte base[WRITERS];
byte newest[WRITERS];
/* A lease that runs out is older than any round of prepares may be: a writer whose round is no younger begins again.
 * [2*v+w]: w's round is younger than the lease at v. */
bool younger[6];
bool tooOld[WRITERS];

#define MADEOF(b, a) (a == b || ancestor[4*a+b])
#define COUNT(bits) ((bits & 1) + ((bits >> 1) & 1) + ((bits >> 2) & 1))

/* Of inlines: nothing between two steps. */
hidden byte n, v, r, same, may, result, away;
hidden byte held;
hidden byte look[VOTERS];

/* result is the record that counts among what is in look, 0 for none: see quorum.go. */
inline decide() {
	result = 0; n = 0; v = 0;
	do
	:: v < VOTERS ->
#ifdef AMNESIAC_VOTES
		n = n + (look[v] != NOBODY);
#else
		n = n + (look[v] != NOBODY && look[v] != 0);
#endif
		v++
	:: else -> break
	od;
	r = 1;
	do
	:: n >= MAJORITY && r < records ->
		same = 0; may = 0; held = 0; v = 0;
		do
		:: v < VOTERS ->
			if
			:: look[v] == r -> same++; may++; held = 1
			:: look[v] == NOBODY || look[v] == 0 -> may++
			:: else -> may = may + (generation[look[v]] > generation[r])
			fi;
			v++
		:: else -> break
		od;
		if
		:: same >= MAJORITY -> result = r; break
		:: same < MAJORITY && held == 1 && may >= MAJORITY && (result == 0 || generation[r] > generation[result]) -> result = r
		:: else
		fi;
		r++
	:: else -> break
	od;
	n = 0
}

/* check reads from all voters, and from all but each one. */
inline check() {
	away = 0;
	do
	:: away <= VOTERS ->
		v = 0;
		do
		:: v < VOTERS -> look[v] = (v == away -> NOBODY : has[v]); v++
		:: else -> break
		od;
		decide();
		r = 1;
		do
		:: result != 0 && r < records -> assert(!acknowledged[r] || MADEOF(result, r)); r++
		:: else -> break
		od;
		away++
	:: else -> break
	od;
	n = 0
}

/* At most one voter does not answer: with two there is no majority, and nothing happens. */
inline choose() {
	if
	:: away1 = 0
	:: away1 = 1
	:: away1 = 2
	:: away1 = NOBODY
	fi
}

inline ask(me, at) {
	d_step {
		if
		:: at == away1 -> saw[3*me+at] = NOBODY
		:: else -> saw[3*me+at] = has[at];
			if
			:: promised[at] > newest[me] -> newest[me] = promised[at]
			:: else
			fi
		fi
	}
}

inline begin(me) {
	d_step {
		look[0] = saw[3*me]; look[1] = saw[3*me+1]; look[2] = saw[3*me+2];
		decide();
		if
		:: result != 0 && records < RECORDS ->
			mine[me] = records; records++; base[me] = result;
			v = 0;
			do
			:: v < VOTERS ->
				if
				:: look[v] != NOBODY && generation[look[v]] > newest[me] -> newest[me] = generation[look[v]]
				:: else
				fi;
				v++
			:: else -> break
			od;
			generation[mine[me]] = newest[me] + 1;
			r = 1;
			do
			:: r < mine[me] -> ancestor[4*r+mine[me]] = MADEOF(result, r); r++
			:: else -> break
			od;
			n = 0
		:: else
		fi;
		newest[me] = 0
	}
}

/* judge decides again, with what the voters have that have granted a lease: it stays as it is. The snapshot's answers
 * are of different moments, and those of the others are not known any more. */
inline judge(me) {
	d_step {
		v = 0;
		do
		:: v < VOTERS -> look[v] = (((voted[me] >> v) & 1) != 0 -> saw[3*me+v] : NOBODY); v++
		:: else -> break
		od;
		decide();
#ifndef NO_JUDGE
		if
		:: result != base[me] && generation[result] >= generation[base[me]] -> voted[me] = 0
		:: else
		fi;
#endif
		n = 0
	}
}

#ifdef NO_SWAP
#define UNCHANGED(me, at) true
#else
#define UNCHANGED(me, at) (has[at] == saw[3*me+at])
#endif

/* prepare at one voter. A lease that another writer has may have run out by then, or not: it is busy then. */
inline prepare(me, at) {
	if
	:: d_step {
			at != away1 && saw[3*me+at] != NOBODY && UNCHANGED(me, at) && generation[mine[me]] > generation[has[at]] && generation[mine[me]] > promised[at] ->
#if LOSSES > 0
			if
			:: lease[at] != 0 -> tooOld[0] = tooOld[0] || !younger[2*at]; tooOld[1] = tooOld[1] || !younger[2*at+1]
			:: else
			fi;
			younger[2*at] = false; younger[2*at+1] = false;
#endif
#ifndef NO_PROMISE
			promised[at] = generation[mine[me]];
#endif
			lease[at] = mine[me];
#ifndef AMNESIAC_VOTES
			if
			:: has[at] != 0 -> voted[me] = voted[me] | (1 << at)
			:: else
			fi
#else
			voted[me] = voted[me] | (1 << at)
#endif
		}
	:: at == away1 || lease[at] != 0 || saw[3*me+at] == NOBODY || !UNCHANGED(me, at) || generation[mine[me]] <= generation[has[at]] || generation[mine[me]] <= promised[at]
	fi
}

inline commit(me, at) {
	if
	:: d_step {
			lease[at] == mine[me] ->
			has[at] = mine[me]; lease[at] = 0;
			took[me] = took[me] | (voted[me] & (1 << at));
#ifdef ONE_IS_ENOUGH
			acknowledged[mine[me]] = acknowledged[mine[me]] || COUNT(took[me]) >= 1;
#else
			acknowledged[mine[me]] = acknowledged[mine[me]] || COUNT(took[me]) >= MAJORITY;
#endif
			check()
		}
	:: skip
	fi
}

#if LOSSES > 0
#define YOUNGER(me, b) younger[me] = b; younger[2+me] = b; younger[4+me] = b; tooOld[me] = false
#else
#define YOUNGER(me, b) skip
#endif

proctype write(byte me) {
	byte away1;
	do
	:: records < RECORDS ->
		d_step { YOUNGER(me, true) }
		choose();
		ask(me, 0); ask(me, 1); ask(me, 2);
		begin(me);
		away1 = NOBODY;
		if /* in one order or the other: what happens at one voter does not depend on another */
		:: mine[me] == 0
		:: mine[me] != 0 -> choose(); prepare(me, 0); prepare(me, 1); prepare(me, 2)
		:: mine[me] != 0 -> choose(); prepare(me, 2); prepare(me, 1); prepare(me, 0)
		fi;
		if
		:: mine[me] != 0 -> judge(me)
		:: else
		fi;
		away1 = 0;
		if
		:: COUNT(voted[me]) < MAJORITY || tooOld[me]
		:: else ->
			d_step { base[me] = 0; saw[3*me] = 0; saw[3*me+1] = 0; saw[3*me+2] = 0; YOUNGER(me, false) }
			commit(me, 0); commit(me, 1); commit(me, 2)
		fi;
		d_step { /* what it still holds runs out */
			mine[me] = 0; base[me] = 0; voted[me] = 0; took[me] = 0;
			saw[3*me] = 0; saw[3*me+1] = 0; saw[3*me+2] = 0;
			YOUNGER(me, false)
		}
	:: records >= RECORDS -> break
	od
}

#define ALLHAVE (has[0] != 0 && has[1] != 0 && has[2] != 0)

inline lose(at) { d_step { losses < LOSSES && ALLHAVE -> losses++; has[at] = 0; promised[at] = 0; lease[at] = 0; check() } }


proctype fault() {
end:
	do
	:: lose(0)
	:: lose(1)
	:: lose(2)
	od
}

init {
	d_step {
		generation[1] = 1;
		has[0] = 1; has[1] = 1; has[2] = 1;
		promised[0] = 1; promised[1] = 1; promised[2] = 1
	}
	atomic { run write(0); run write(1); run fault() }
}
