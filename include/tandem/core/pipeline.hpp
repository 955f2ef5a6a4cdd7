#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <tandem/core/channel.hpp>

namespace tandem {

/// Commands collected here and sent together: one round trip for all of them.
///
///     auto replies = redis.pipeline().command("INCR", "a").command("GET", "b").execute();
///
/// The server executes them in order, but not as one: other clients' commands may come between
/// them. For that take a `Transaction` or a `Script`.
///
/// Cost:    1 round trip; 2 when the server forgot a script between two of its uses in this
///          pipeline.
/// Errors:  execute() throws Unreachable (none was executed) or InDoubt (some may have been). A
///          server error sits in its own reply, which throws it when it is read.
/// Threads: one at a time.
class Pipeline {
 public:
  explicit Pipeline(std::shared_ptr<detail::Channel> channel) : channel_{std::move(channel)} {}

  template <class... Words>
  Pipeline& command(Words const&... words) & {
    Argument const list[] = {Argument(words)...};
    commands_.add(list);
    return *this;
  }
  template <class... Words>
  Pipeline&& command(Words const&... words) && {
    return std::move(command(words...));
  }

  /// Runs `script` in its place among the commands. Its first use in a pipeline sends it in full,
  /// later ones its SHA1.
  template <class... Words>
  Pipeline& run(Script const& script, std::initializer_list<std::string_view> keys,
                Words const&... arguments) & {
    if constexpr (sizeof...(Words) == 0) {
      add(script, {keys.begin(), keys.size()}, {});
    } else {
      Argument const list[] = {Argument(arguments)...};
      add(script, {keys.begin(), keys.size()}, list);
    }
    return *this;
  }
  template <class... Words>
  Pipeline&& run(Script const& script, std::initializer_list<std::string_view> keys,
                 Words const&... arguments) && {
    return std::move(run(script, keys, arguments...));
  }

  /// Sends what was collected; one reply for each, in order. The pipeline is empty afterwards and
  /// may be used again. Nothing collected: no round trip, no replies.
  [[nodiscard]] std::vector<Reply> execute();

 private:
  /// Enough to send a script once more, in full, should the server have forgotten it in
  /// mid-pipeline.
  struct Placed {
    std::size_t position;
    std::string_view sha1;
    CommandBuffer in_full;
  };

  void add(Script const& script, std::span<std::string_view const> keys,
           std::span<Argument const> arguments);

  std::shared_ptr<detail::Channel> channel_;
  CommandBuffer commands_{};
  std::vector<Placed> scripts_{};
};

}  // namespace tandem
