#include "tandem/owner.hpp"

#include <map>
#include <utility>

#include "core/core.hpp"
#include "locking/owners.hpp"
#include "scripts.hpp"

namespace tandem {
namespace {

using Found = std::map<std::string, std::vector<Owner>>;  // SCAN may name a key twice

/// Calls `take` with name and answer for each key of `type` that matches.
template <class Take>
void look_at_all(detail::Core& core, std::string_view pattern, std::string_view type,
                 Script const& script, std::span<Argument const> arguments, Take&& take) {
  std::string cursor = "0";
  do {
    CommandBuffer scan;
    scan.add(std::initializer_list<Argument>{"SCAN", cursor, "MATCH", pattern, "COUNT", 1000,
                                             "TYPE", type});
    auto const page = core.ask(scan, core.deadline(), detail::Repeat::safe);
    page.throw_if_error("SCAN");
    cursor = page[0].as<std::string>();
    auto const names = page[1].as<std::vector<std::string>>();
    if (names.empty()) continue;
    CommandBuffer ask;
    for (auto const& name : names) {
      detail::LockKeys const keys{name, detail::lock_kind};  // of both kinds the same
      // The first one teaches the server the script, should it have forgotten it.
      detail::add_script(ask, script, ask.count() > 0, keys.all(), arguments);
    }
    auto const answers = core.ask_all(ask, core.deadline());
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (answers[i].is_error()) continue;  // another kind of key by now
      take(names[i], answers[i]);
    }
  } while (cursor != "0");
}

}  // namespace

std::vector<HeldLock> locks(Client const& client, std::string_view pattern) {
  auto& core = client.core();
  Found found;
  look_at_all(core, pattern, "string", scripts::lock_owner, {},
              [&](std::string const& name, Reply const& answer) {
                auto owner = detail::read_owner(answer);
                if (owner && owner->since) found.insert_or_assign(name, std::vector{*owner});
              });
  Argument const most[] = {1000};
  look_at_all(core, pattern, "zset", scripts::permits_holders, most,
              [&](std::string const& name, Reply const& answer) {
                found.insert_or_assign(name, detail::read_holders(answer));
              });
  std::vector<HeldLock> out;
  for (auto& [name, owners] : found) {
    for (auto& each : owners) out.push_back({name, std::move(each)});
  }
  return out;
}

}  // namespace tandem
