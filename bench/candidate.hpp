#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "answer.hpp"
#include "process.hpp"

namespace bench {

/// What may take part in a benchmark, in processes of its own: workers.hpp.
struct Candidate {
  std::string name;
  std::vector<std::string> words;  ///< how it is called
  std::string version{};           ///< what such a process says of itself

  /// `task`: the words that say what it is made for.
  [[nodiscard]] std::unique_ptr<Process> start(std::vector<std::string> const& task) const {
    auto call = words;
    call.insert(call.end(), task.begin(), task.end());
    return std::make_unique<Process>(std::move(call), Process::Output::standard);
  }
};

/// All that were thought of: those that can run here, and why the others cannot.
template <class Kind>
struct Candidates {
  std::vector<Kind> present{};
  std::vector<std::string> absent{};  ///< a sentence each
};

/// The program that runs, which is also the worker of contenders that are written in C++.
inline std::string own_program() {
  return std::filesystem::read_symlink("/proc/self/exe").string();
}

/// A contender of that name that is written in C++.
inline Candidate own_candidate(std::string const& name) {
  return {name, {own_program(), "--work", name}};
}

/// Those that are named in `only`, separated by commas; all where it is empty.
///
/// Errors: std::invalid_argument for a name that is none.
template <class Kind>
std::vector<Kind> chosen(std::vector<Kind> all, std::string const& only) {
  if (only.empty()) return all;
  std::vector<Kind> out;
  std::istringstream words{only};
  for (std::string name; std::getline(words, name, ',');) {
    auto const found =
        std::find_if(all.begin(), all.end(), [&](auto const& each) { return each.name == name; });
    if (found == all.end()) throw std::invalid_argument{"there is no contender '" + name + "'"};
    out.push_back(*found);
  }
  return out;
}

/// Starts a process of each, to hear what it says of itself. `task`: what it is made for then.
template <class Kind>
Candidates<Kind> tried_out(std::vector<Kind> all, std::vector<std::string> const& task) {
  Candidates<Kind> out;
  for (auto& each : all) {
    try {
      auto const process = each.start(task);
      each.version = Answer::from(*process).text();
      out.present.push_back(std::move(each));
    } catch (std::runtime_error const& fault) {
      out.absent.push_back(fmt::format("{} cannot be run: {}.", each.name, fault.what()));
    }
  }
  return out;
}

}  // namespace bench
