#pragma once

namespace bench {

// Where clients and their server are, as the tables name it.
inline constexpr auto one_core = "one core";  ///< all of them: one_core.hpp
inline constexpr auto any_cores = "any cores";
inline constexpr auto far_away = "1 ms each way";  ///< behind a network: delay.hpp

}  // namespace bench
