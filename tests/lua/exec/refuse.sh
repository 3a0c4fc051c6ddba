# What mpirun of Open MPI says to root.
dashes=--------------------------------------------------------------------------
printf '%s\nmpirun has detected an attempt to run as root.\n\nRunning as root is *strongly* discouraged.\n%s\n' $dashes $dashes >&2
exit 1
