// Annoy 1.17.3's side of the comparison: builds an index of raw float32 rows, or loads and searches one in two passes,
// and prints the CPU seconds of each part. Compiled with the flags of Annoy's own setup.py; main.rs says how.

#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "annoylib.h"
#include "kissrandom.h"

using namespace Annoy;

template <typename Distance>
using Index = AnnoyIndex<int32_t, float, Distance, Kiss64Random, AnnoyIndexSingleThreadedBuildPolicy>;

static double cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static std::vector<float> read_rows(const char* path) {
  FILE* file = fopen(path, "rb");
  if (!file) { perror(path); exit(1); }
  fseek(file, 0, SEEK_END);
  std::vector<float> rows(ftell(file) / sizeof(float));
  rewind(file);
  if (fread(rows.data(), sizeof(float), rows.size(), file) != rows.size()) exit(1);
  fclose(file);
  return rows;
}

template <typename Distance>
static int build(int f, const char* rows_path, const char* index_path, int trees) {
  std::vector<float> rows = read_rows(rows_path);
  Index<Distance> index(f);
  double start = cpu_seconds();
  for (size_t item = 0; item * f < rows.size(); item++) index.add_item(item, &rows[item * f]);
  double added = cpu_seconds();
  index.build(trees, 1);
  double built = cpu_seconds();
  if (!index.save(index_path)) return 1;
  printf("%.6f %.6f %.6f\n", added - start, built - added, cpu_seconds() - built);
  return 0;
}

template <typename Distance>
static int search(int f, const char* rows_path, const char* index_path, int n, int search_k, const char* found_path) {
  std::vector<float> rows = read_rows(rows_path);
  Index<Distance> index(f);
  double start = cpu_seconds();
  if (!index.load(index_path, true)) return 1;
  double loaded = cpu_seconds() - start;
  size_t queries = rows.size() / f;
  std::vector<int32_t> found, all(queries * n, -1);
  std::vector<float> distances;
  double spent[2] = {0, 0};
  for (int pass = 0; pass < 2; pass++) {
    start = cpu_seconds();
    for (size_t query = 0; query < queries; query++) {
      found.clear();
      distances.clear();
      index.get_nns_by_vector(&rows[query * f], n, search_k, &found, &distances);
      memcpy(&all[query * n], found.data(), found.size() * sizeof(int32_t));
    }
    spent[pass] = cpu_seconds() - start;
  }
  FILE* file = fopen(found_path, "wb");
  if (!file || fwrite(all.data(), sizeof(int32_t), all.size(), file) != all.size()) return 1;
  fclose(file);
  printf("%.6f %.6f %.6f\n", loaded, spent[0], spent[1]);
  return 0;
}

template <typename Distance>
static int run(int argc, char** argv) {
  int f = atoi(argv[3]);
  if (!strcmp(argv[1], "build")) return build<Distance>(f, argv[4], argv[5], atoi(argv[6]));
  return argc < 9 ? 2 : search<Distance>(f, argv[4], argv[5], atoi(argv[6]), atoi(argv[7]), argv[8]);
}

int main(int argc, char** argv) {
  if (argc < 7) return 2;
  std::string metric = argv[2];
  if (metric == "angular") return run<Angular>(argc, argv);
  if (metric == "euclidean") return run<Euclidean>(argc, argv);
  if (metric == "manhattan") return run<Manhattan>(argc, argv);
  if (metric == "dot") return run<DotProduct>(argc, argv);
  return 2;
}
