-- A module of the campaign; also runs as a script.
return { twice = function(x) return 2 * x end }
