#pragma once

#include <exception>
#include <functional>
#include <map>
#include <string>

#include <tandem/client.hpp>

namespace tandem::support {

/// What the server was asked for while `act` ran, as "evalsha 1, get 2"; commands inside scripts
/// count as well. Without what a connection says as it begins or is idle: one that a client makes in
/// the background does so at any moment.
inline std::string commands_of(Client redis, std::function<void()> const& act) {
  redis.command("CONFIG", "RESETSTAT");
  act();
  auto const stats = redis.command("INFO", "commandstats").as<std::string>();
  std::map<std::string, std::string> calls;
  for (auto at = stats.find("cmdstat_"); at != std::string::npos;
       at = stats.find("cmdstat_", at + 1)) {
    auto const colon = stats.find(":calls=", at);
    auto const name = stats.substr(at + 8, colon - at - 8);
    bool const of_a_connection = name == "hello" || name == "select" || name == "ping" ||
                                 name == "subscribe" || name.starts_with("client|");
    if (!of_a_connection && !name.starts_with("config"))
      calls[name] = stats.substr(colon + 7, stats.find(',', colon) - colon - 7);
  }
  std::string out;
  for (auto const& [name, count] : calls) {
    if (!out.empty()) out += ", ";
    out.append(name).append(" ").append(count);
  }
  return out;
}

/// The code of the ServerError that `act` throws; "none", or the text of whatever else it throws.
inline std::string code_of(std::function<void()> const& act) {
  try {
    act();
  } catch (ServerError const& error) {
    return error.code();
  } catch (std::exception const& error) {
    return std::string{"another: "} + error.what();
  }
  return "none";
}

/// The text of the `Fault` that `act` throws; "none" when it throws nothing.
template <class Fault>
std::string text_of(std::function<void()> const& act) {
  try {
    act();
  } catch (Fault const& fault) {
    return fault.what();
  }
  return "none";
}

}  // namespace tandem::support
