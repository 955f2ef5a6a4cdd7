#pragma once

#include <chrono>

namespace tandem::detail {

/// How long a waiter has to take up a grant. Long against a stall of the machine, short against a
/// lease: a waiter that was stopped in just that moment delays the others by so much.
inline constexpr std::chrono::milliseconds grant_time{1000};

/// A grant that was believed without another question is renewed, for the whole lease, when its
/// section has lasted for so long: many are over sooner, and cost a command less. Until then a pause
/// of `grant_time` ends it. No less than `least_of_grant` must be left of one that is believed.
inline constexpr std::chrono::milliseconds renew_grant_after{5};
inline constexpr std::chrono::milliseconds least_of_grant = grant_time / 2;

/// A waiter looks after the holder when it has waited for so long: its process, and, of the first in
/// the queue, the key. In a busy queue hand-offs come sooner, and neither is paid for. Noticing a
/// stranger's release may take 50 ms and a holder's death 20: the rest is for the server and this
/// machine.
inline constexpr std::chrono::milliseconds look_after{10};

}  // namespace tandem::detail
