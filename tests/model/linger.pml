/* Linger and local hand-off (src/locking/site.cpp, `wanted` in acquire.lua): a process keeps an idle hold and its
 * threads take it again without the server, until another process asks, or its own clock ends it.
 *
 * Two processes, each with SECTIONS sections of code to get through, by whichever of its threads: that
 * there is one local holder at a time is std::mutex's affair. A process has a token for each
 * acquisition on the server, its own and those that follow. The fence of a section is the pair of the
 * server's and a local index. The script of the waiter that finds the lock held says "wanted" to the
 * holder's channel; each look says it again. A hold without work is kept for ever unless somebody wants
 * it: a bound in time would only hide a "wanted" that was not heard.
 * Crashes and lost answers are as in crash.pml and replies.pml; the event connections may break.
 */
#define PROCESSES 2
#define SECTIONS 2
#define TOKENS 4
#define FENCE(server, turn) ((server) * 8 + (turn))
#include "scripts.pml"

bool wanted[TOKENS]; /* that token's hold, by another process: heard, whatever the holder does just then */
byte sections_done;
byte cuts = 1, expiries = 1;
hidden mtype nobody_reads;

proctype Process(byte number) {
  byte me = number; /* the token */
  byte turn, left = SECTIONS;
asking:
  atomic {
    acquire(me);
    if
    :: (answer[me] == queued || answer[me] == queued_too_late) && told_owner[me] != NOBODY && ears[told_owner[me]] -> wanted[told_owner[me]] = true
    :: else
    fi
  };
  atomic {
    turn = 0;
    if
    :: answer[me] == held -> goto inside
    :: answer[me] == held_too_late -> goto asking
    :: answer[me] == queued -> answer[me] = nothing; fresh[me] = true; goto waiting
    :: answer[me] == queued_too_late -> answer[me] = nothing; fresh[me] = false; goto waiting
    fi
  };
waiting:
  atomic {
    if
    :: granted[me] -> granted[me] = false;
       if
       :: newer[me] && fresh[me] -> told_fence[me] = fence; goto believed
       :: true
       fi
    :: !ears[me] -> ears[me] = true /* and asks again */
    :: true                         /* looks */
    fi;
    goto asking
  };
inside:
  atomic {
    if
    :: answer[me] == held_too_late -> goto asking
    :: else
    fi;
    answer[me] = nothing;
  believed:
    fresh[me] = false;
    assert(FENCE(told_fence[me], turn) > highest); /* FENCES: of one section and the next, too */
    believe(me, FENCE(told_fence[me], turn));
    goto section
  };
section:
  atomic { /* the section's end */
    left--;
    sections_done++
  };
end_idle:
  atomic {
    if
#ifdef BREAK_RETAKES_BY_ITS_CLOCK
    :: !wanted[me] && left > 0 ->
#else
    :: !wanted[me] && left > 0 && valid[me] ->
#endif
#ifndef BREAK_LOCAL_FENCE_GROWS
       turn++;
#endif
       assert(FENCE(told_fence[me], turn) > highest); /* FENCES */
       believe(me, FENCE(told_fence[me], turn));
       goto section
#ifndef BREAK_WANTED_IS_HEARD
    :: wanted[me]
#endif
#ifndef BREAK_HOLDER_REGAINS_EARS
    :: !ears[me] -> ears[me] = true; goto end_idle /* the next look's "wanted" it hears */
#endif
    :: !valid[me]
    fi;
    goto releasing
  };
releasing:
  valid[me] = false;
  atomic {
    release(me, told_fence[me], nobody_reads);
    fence_of[me] = 0;
    wanted[me] = false;
    granted[me] = false;
    if
    :: left > 0 -> me = me + PROCESSES; goto asking /* the next acquisition: a fresh token */
    :: else
    fi
  }
}

proctype World() {
end:
  do
  :: d_step { lock != NOBODY && expiries > 0 -> expiries--; expire() }
  :: d_step { cuts > 0 && ears[0] -> cuts--; ears[0] = false; granted[0] = false; wanted[0] = false }
  :: d_step { cuts > 0 && ears[3] -> cuts--; ears[3] = false; granted[3] = false; wanted[3] = false }
#ifdef LIVENESS
  :: break
#endif
  od
}

init {
  atomic {
    run Process(0);
    run Process(1);
    run World()
  }
}

ltl served { <> (sections_done == PROCESSES * SECTIONS) }
