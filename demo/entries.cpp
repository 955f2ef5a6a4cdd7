#include "entries.hpp"

#include <vector>

#include <fmt/format.h>

namespace demo {

void Count::add(std::int64_t chunk, std::int64_t more) {
  auto const place = static_cast<std::size_t>(chunk);
  if (chunks.size() <= place) chunks.resize(place + 1, '.');
  if (chunks[place] == '#') return;
  chunks[place] = '#';
  times += more;
}

}  // namespace demo

namespace {

using Numbers = tandem::Codec<std::vector<std::int64_t>>;

std::vector<std::int64_t> numbers(std::string_view bytes, std::size_t count) {
  auto numbers = Numbers::decode(bytes);
  if (numbers.size() != count) throw tandem::CodecError{fmt::format("wanted {} numbers", count)};
  return numbers;
}

std::int64_t number_of(demo::Moment moment) { return moment.time_since_epoch().count(); }
demo::Moment moment_of(std::int64_t number) { return demo::Moment{demo::Moment::duration{number}}; }

}  // namespace

namespace tandem {

std::string Codec<demo::Count>::encode(demo::Count const& count) {
  return fmt::format("{} {}", count.times, count.chunks);
}

demo::Count Codec<demo::Count>::decode(std::string_view bytes) {
  auto const space = bytes.find(' ');
  if (space == bytes.npos) throw CodecError{"wanted a number, a space and the chunks in it"};
  return {Codec<std::int64_t>::decode(bytes.substr(0, space)),
          std::string{bytes.substr(space + 1)}};
}

std::string Codec<demo::Finished>::encode(demo::Finished const& finished) {
  return Numbers::encode({finished.worker, finished.lines});
}

demo::Finished Codec<demo::Finished>::decode(std::string_view bytes) {
  auto const all = numbers(bytes, 2);
  return {static_cast<int>(all[0]), all[1]};
}

std::string Codec<demo::Holding>::encode(demo::Holding const& holding) {
  return Numbers::encode({holding.worker, holding.chunk, static_cast<int>(holding.state),
                          number_of(holding.begin), number_of(holding.end),
                          holding.repaired ? 1 : 0});
}

demo::Holding Codec<demo::Holding>::decode(std::string_view bytes) {
  auto const all = numbers(bytes, 6);
  return {.worker = static_cast<int>(all[0]),
          .chunk = all[1],
          .state = static_cast<demo::Holding::State>(all[2]),
          .begin = moment_of(all[3]),
          .end = moment_of(all[4]),
          .repaired = all[5] != 0};
}

}  // namespace tandem
