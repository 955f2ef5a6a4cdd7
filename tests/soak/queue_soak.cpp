// queue_soak [--minutes N | --seconds N] [--seed N]
//
// Producers and workers share a queue while they are killed, stopped, cut off and forgotten by their
// server, which keeps what it acknowledged; what became of each job is written down by whom it
// happened to, and looked at when everything is done. The exit status is 1 when a promise was
// broken:
//
//  - A job whose push returned was given to a worker, or is a dead letter; one whose push was refused
//    was not.
//  - A job whose acknowledgement returned true was not given out again: no later delivery of it was
//    seen.
//  - The dead letters are those that were rejected and those that were delivered too often, each
//    once, and none that was acknowledged.
//  - When the faults are over everything is done in time.
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <sys/prctl.h>

#include "soak/ledger.hpp"
#include "soak/plan.hpp"
#include "soak/queue_hands.hpp"
#include "soak/queue_tormentor.hpp"
#include "soak/troop.hpp"
#include "support/shared_memory.hpp"

namespace {

using namespace tandem;

/// produce|consume PLACE URL SEED
int be_one_of_them(std::vector<std::string> const& words) {
  unsigned place = 0;
  unsigned seed = 0;
  if (words.size() != 4 || !soak::read(words[1], place) || !soak::read(words[3], seed))
    return soak::usage("queue_soak");
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  support::Shared<soak::Ledger> const ledger{support::Descriptor{soak::Troop::inherited}};
  if (words[0] == "produce") {
    soak::produce(*ledger, static_cast<int>(place), words[2], seed);
  } else {
    soak::consume(*ledger, words[2], seed);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  std::vector<std::string> const words{argv + 1, argv + argc};
  if (!words.empty() && !words[0].starts_with("--")) return be_one_of_them(words);
  auto const plan = soak::plan_of(words);
  if (!plan) return soak::usage("queue_soak");
  return soak::torment_queue(*plan) == 0 ? 0 : 1;
} catch (std::exception const& error) {
  std::fprintf(stderr, "queue_soak: %s\n", error.what());
  return 1;
}
