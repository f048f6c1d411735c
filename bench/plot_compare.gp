# The ratios of bench/compare.mjs, with their targets:
#   gnuplot -e "csv='compare.csv'; out='compare.svg'" bench/plot_compare.gp
set datafile separator ','
if (strlen(out) > 4 && out[strlen(out)-3:] eq '.png') {
  set terminal pngcairo size 1000,600 font 'sans,11'
} else {
  set terminal svg size 1000,600 font 'sans,11' background 'white'
}
set output out
set title 'Times faster than llama.cpp (its better setting)'
set style fill solid 0.8 border
set boxwidth 0.6
set yrange [0:*]
set grid ytics
set xtics rotate by -35 font ',9' noenhanced
set rmargin 12
set bmargin 12
plot csv using 0:2:xtic(1) with boxes lc rgb '#3b6ea5' title 'measured', \
     csv using 0:3 with points pt 5 ps 1.2 lc rgb '#d1495b' title 'target'
